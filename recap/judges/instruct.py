"""The rubric asked of an instruct model in words, as a judge's labels.

It also answers the questions of a prompt's own rubric (Fortress), each by yes or no.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel

from recap.judges.rubric import ItemRubric
from recap.models.places import weights_sha
from recap.models.weights import load_scorer
from recap.render import Renderer
from recap.scoring.instruct import Instruct
from recap.scoring.questions import ITEM, PROMPT_SHA, RUBRIC, Question, read, wording
from recap.types.row import Label


class InstructRubric(ItemRubric):
    """An instruct model, asked in words."""

    prompt_sha = PROMPT_SHA
    items_sha = wording(ITEM)

    def __init__(
        self, model: PreTrainedModel, renderer: Renderer, revision: str, batch_size: int = 32
    ) -> None:
        """``revision`` identifies the weights."""
        self._instruct, self.revision = Instruct(model, renderer, batch_size), revision

    def labels(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[Label | None, str]]:
        """Label and raw answer for each pair; a question beyond the model's context has none."""
        return [_labelled(RUBRIC, answer) for answer in self._instruct.answers(RUBRIC, pairs)]

    def items(self, asked: Sequence[tuple[str, str, str]]) -> list[tuple[Label | None, str]]:
        """Unsafe where it answers yes; ``asked`` are (prompt, response, question)."""
        return [_labelled(ITEM, answer) for answer in self._instruct.answers(ITEM, asked)]


def _labelled(question: Question, answer: str | None) -> tuple[Label | None, str]:
    if answer is None:
        return None, "question beyond the context"
    label = read(question, answer)
    return label, answer if label else f"no answer of the rubric: {answer!r}"


def open_rubric(directory: Path) -> InstructRubric:
    """The instruct model of a directory; raises ModelError when it holds none."""
    return InstructRubric(
        load_scorer(directory), Renderer.from_dir(directory), weights_sha(directory)[:16]
    )
