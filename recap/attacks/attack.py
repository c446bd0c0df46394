"""The base class of attacks: an attack is a conversation with the policy about one prompt.

An attack yields contexts, gets the policy's answers, and repeats this any number of times. It
returns the answers that count. To add an attack, write a small file with a subclass and add its
line to ``table.py``; docs/evaluation.md shows both, and the benchmark that names the attack. Leaves
out sampling and batching (``conversations.py``) and the choice of prompts and prefills
(``selection.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from recap.params.attack import Attack as AttackSection
from recap.render import Renderer
from recap.types.attacks import KeptAttack
from recap.types.prompts import Prefill, PromptRecord, RenderedPrompt
from recap.types.rollouts import Sample
from recap.types.row import Row

Needs = Literal["nothing", "thought", "pool", "each source", "kept"]
"""The thoughts that a case holds: none; one of the benchmark's source; as many of that source as
the largest of ``attack.search_budgets``; or one of each source in ``attack.transfer_sources``.
``kept``: the case is an attack of the file ``attack.replay``."""


@dataclass(frozen=True, slots=True)
class Case:
    """One prompt of a benchmark with the whole, verified thoughts it may be attacked with.

    ``kept`` is the attack that is replayed, by the attack that needs one.
    """

    record: PromptRecord
    prefills: tuple[Prefill, ...] = ()
    kept: KeptAttack | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """All that the case consists of."""
        return (self.record, *self.prefills, *([self.kept] if self.kept else []))


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the policy to a context.

    ``response`` is ``None`` if the policy did not finish one. ``cot`` is the generated part of the
    thought. ``worth`` is the selector's score of the response (``selector.py``): higher is better
    for the adversary, and 0 for an attack that does not select.
    """

    context: RenderedPrompt
    sample: Sample
    cot: str
    response: str | None
    worth: float


@dataclass(frozen=True, slots=True)
class Shot:
    """An answer that counts: a completion at place ``place`` of the attack's axis.

    ``given`` is the planted part of the thought, ``source`` the name of its author, ``category``
    the thought's category.
    """

    place: int
    answer: Answer
    given: str | None = None
    source: str | None = None
    category: str | None = None


Talk = Generator[Sequence[RenderedPrompt], Sequence[Answer], Sequence[Shot]]
"""Yields contexts, receives one answer for each, returns the shots."""


class Attack(ABC):
    """One way of attacking a prompt."""

    name: ClassVar[str]
    needs: ClassVar[Needs] = "thought"
    replayable: ClassVar[bool] = False
    """Its contexts hold nothing that the policy wrote, so that they mean the same to another."""
    selects: ClassVar[bool] = False
    """The attack needs the selector's ``worth`` of each answer."""

    def __init__(self, renderer: Renderer, settings: AttackSection) -> None:
        """``settings``: lengths, rounds, budgets and the transition sentence."""
        self.renderer = renderer
        self.settings = settings

    @property
    def width(self) -> int:
        """The most contexts that the attack yields at once; it sets the size of a block."""
        return 1

    @property
    def answers(self) -> int:
        """About how many answers it asks for in all; the time left is told by it."""
        return self.width

    def closes_thought(self, case: Case) -> bool:
        """Whether its contexts close the thought, so that the policy generates only a response."""
        return False

    @abstractmethod
    def talk(self, case: Case) -> Talk:
        """The conversation about one case."""

    def cut(self, prefill: Prefill) -> str:
        """The first ``attack.prefill_words`` words of a thought."""
        return self.renderer.cut(prefill.text, self.settings.prefill_words)[0]

    def reset(self, answer: Answer, given: str) -> RenderedPrompt:
        """The context of a reset (paper: IPR), in token ids.

        It joins the answer's context, its thought without closing tag and response, the transition
        sentence, and the prefill again. The think block stays open.
        """
        return self.renderer.reset(
            answer.context, answer.sample.token_ids, self.settings.transition, given
        )
