"""What an attack is: a conversation with the policy about one prompt.

An attack yields contexts, gets the policy's answers to them, and goes on for as long as it likes;
what it returns are the answers that count. To add one: a small file with a subclass, and its line
in ``table.py`` (docs/evaluation.md shows both, and the benchmark that names it). Leaves out
sampling and batching (``conversations.py``) and the choice of prompts and prefills
(``selection.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from recap.params.attack import Attack as AttackSection
from recap.render import Renderer
from recap.types.prompts import Prefill, PromptRecord, RenderedPrompt
from recap.types.rollouts import Sample

Needs = Literal["nothing", "thought", "pool", "each source"]
"""What of the sources' thoughts a case holds: none; one of the benchmark's source; as many of it as
the largest of ``attack.search_budgets``; one of each of ``attack.transfer_sources``."""


@dataclass(frozen=True, slots=True)
class Case:
    """One prompt of a benchmark with the whole, verified thoughts it may be attacked with."""

    record: PromptRecord
    prefills: tuple[Prefill, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the policy made of a context, once.

    ``response`` is ``None`` when it never came to the end of one; ``cot`` is the generated part of
    the thought. ``worth`` is what the selector gives the response, more being better for the
    adversary (``selector.py``); 0 for an attack that does not select.
    """

    context: RenderedPrompt
    sample: Sample
    cot: str
    response: str | None
    worth: float


@dataclass(frozen=True, slots=True)
class Shot:
    """An answer that counts: a completion at place ``round`` of the attack's axis.

    ``given`` is the part of a thought that the policy was given, ``source`` who wrote it.
    """

    round: int
    answer: Answer
    given: str | None = None
    source: str | None = None


Talk = Generator[Sequence[RenderedPrompt], Sequence[Answer], Sequence[Shot]]
"""Yields contexts, is sent one answer for each, returns the shots."""


class Attack(ABC):
    """One way of attacking a prompt."""

    name: ClassVar[str]
    needs: ClassVar[Needs] = "thought"
    closes_thought: ClassVar[bool] = False
    """The thought is given whole, so that the policy generates a response and nothing else."""
    selects: ClassVar[bool] = False
    """Answers come with the selector's ``worth``."""

    def __init__(self, renderer: Renderer, settings: AttackSection) -> None:
        """``settings``: lengths, rounds, budgets and the transition sentence."""
        self.renderer = renderer
        self.settings = settings

    @property
    def width(self) -> int:
        """The most contexts that it yields at once; it decides how many prompts go together."""
        return 1

    @property
    def answers(self) -> int:
        """About how many answers it asks for in all; the time left is told by it."""
        return self.width

    @abstractmethod
    def talk(self, case: Case) -> Talk:
        """The conversation about one case."""

    def cut(self, prefill: Prefill) -> str:
        """The first ``attack.prefill_words`` words of a thought."""
        return self.renderer.cut(prefill.text, self.settings.prefill_words)[0]

    def reset(self, answer: Answer, given: str) -> RenderedPrompt:
        """The context of a reset (paper: IPR), in token ids.

        The answer's context, its thought without the closing tag and the response, the transition
        sentence, the prefill again; the think block stays open.
        """
        return self.renderer.reset(
            answer.context, answer.sample.token_ids, self.settings.transition, given
        )
