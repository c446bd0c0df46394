"""How far an answer to a benign prompt complies: 0, 0.5 or 1 (paper, rewards: overrefusal).

Asked of the guardian, if it was taught the rubric (the microworld's was), or of an instruct model
by its own chat template, "with just that number", decoded greedily. An answer that is none of the
three is *unscored*. An instruct model also answers the questions of a prompt's own rubric
(Fortress). Leaves out other harmful prompts, of which compliance says too little, and sums.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from recap.judges.judge import Judge, Means, Opinion, of_items
from recap.scoring.questions import RUBRIC
from recap.types.attacks import Completion
from recap.types.row import Domain, Label

if TYPE_CHECKING:
    from recap.scoring.reward_model import RewardModel


class Rubric(ABC):
    """Reads answers to benign prompts; ``pairs`` are (prompt, response)."""

    revision: str
    prompt_sha: str

    @abstractmethod
    def labels(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[Label | None, str]]:
        """Label and raw answer for each pair."""


class ItemRubric(Rubric):
    """Also answers the questions of a prompt's own rubric (Fortress), each by yes or no.

    ``items_sha`` identifies how it is asked these.
    """

    items_sha: str

    @abstractmethod
    def items(self, asked: Sequence[tuple[str, str, str]]) -> list[tuple[Label | None, str]]:
        """Unsafe where it answers yes; ``asked`` are (prompt, response, question)."""


class GuardianRubric(Rubric):
    """The guardian's own: the likeliest of all next tokens has to be one of the three answers."""

    def __init__(self, guardian: RewardModel, revision: str, prompt_sha: str) -> None:
        self._guardian, self.revision, self.prompt_sha = guardian, revision, prompt_sha

    def labels(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[Label | None, str]]:
        """Label and raw answer for each pair."""
        return [
            (None, "no answer of the rubric")
            if answer is None
            else (RUBRIC.answers[f"{answer:g}"], f"{answer:g}")
            for answer in self._guardian.rubric(pairs)
        ]


def compliance(rubric: Rubric, rows: Sequence[Completion]) -> list[Opinion]:
    """One opinion on each benign completion; equal ones are asked about once."""
    pairs = [(row.prompt, row.response or "") for row in rows]
    asked = list(dict.fromkeys(pairs))
    found = dict(zip(asked, rubric.labels(asked), strict=True))
    return [Opinion(*found[pair]) for pair in pairs]


def by_items(rubric: ItemRubric, rows: Sequence[Completion]) -> list[Opinion]:
    """One opinion by each prompt's own rubric; equal questions are asked once."""
    asked = [[(row.prompt, row.response or "", item) for item in row.rubric] for row in rows]
    questions = list(dict.fromkeys(each for row in asked for each in row))
    found = dict(zip(questions, rubric.items(questions), strict=True))
    return [of_items([Opinion(*found[each]) for each in row]) for row in asked]


def own_rubric(means: Means) -> ItemRubric | None:
    """The instruct model that the settings name, if they do."""
    if means.settings is None or means.settings.rubric is None:
        return None
    from recap.judges.instruct import open_rubric

    return open_rubric(means.settings.rubric)


class RubricJudge(Judge):
    """The rubric alone."""

    name = "rubric"
    needs = "parameters"
    domains: ClassVar[frozenset[Domain]] = frozenset({"benign"})
    usual: ClassVar[Domain] = "benign"

    def __init__(self, rubric: Rubric) -> None:
        self._rubric, self.revision, self.prompt_sha = rubric, rubric.revision, rubric.prompt_sha

    @classmethod
    def open(cls, means: Means) -> RubricJudge:
        """The instruct model that the settings name, or the guardian's own rubric."""
        from recap.judges.guardian import open_guardian

        return cls(own_rubric(means) or open_guardian(means.guardian).rubric)

    def opinions(self, completions: Sequence[Completion]) -> list[Opinion]:
        """One opinion each; ``None`` where the model gave no answer of the rubric."""
        return compliance(self._rubric, completions)
