"""The rubric asked of an instruct model in words, by its own chat template, decoded greedily."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel

from recap.judges.questions import PROMPT_SHA, RUBRIC, ask, read
from recap.judges.rubric import Rubric, weights_sha
from recap.models.weights import load_scorer
from recap.render import Renderer
from recap.types.row import Label

MAX_NEW = 6
"""Tokens of an answer; ``0.5`` has up to three, and one more shows that it ended."""


class InstructRubric(Rubric):
    """An instruct model, asked in words."""

    prompt_sha = PROMPT_SHA

    def __init__(
        self, model: PreTrainedModel, renderer: Renderer, revision: str, batch_size: int = 32
    ) -> None:
        """``revision`` identifies the weights."""
        self._model, self._renderer, self._batch_size = model.eval(), renderer, batch_size
        self.revision = revision

    def labels(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[Label | None, str]]:
        """Label and raw answer for each pair; a question beyond the model's context has none."""
        questions = [self._renderer.message(ask(RUBRIC, *pair)) for pair in pairs]
        room = self._model.config.max_position_embeddings - MAX_NEW
        order = sorted(range(len(questions)), key=lambda index: len(questions[index]))
        order = [index for index in order if len(questions[index]) <= room]
        found: list[tuple[Label | None, str]] = [(None, "question beyond the context")] * len(pairs)
        for first in range(0, len(order), self._batch_size):
            chosen = order[first : first + self._batch_size]
            said = self._generate([questions[index] for index in chosen])
            for index, answer in zip(chosen, said, strict=True):
                label = read(RUBRIC, answer)
                found[index] = (label, answer if label else f"no answer of the rubric: {answer!r}")
        return found

    @torch.inference_mode()
    def _generate(self, questions: Sequence[Sequence[int]]) -> list[str]:
        """The greedy answer to each question."""
        pad, device = self._renderer.pad_id, self._model.device
        longest = max(len(question) for question in questions)
        ids = torch.tensor(
            [[pad] * (longest - len(question)) + list(question) for question in questions],
            device=device,
        )
        mask = torch.tensor(
            [[0] * (longest - len(question)) + [1] * len(question) for question in questions],
            device=device,
        )
        out = self._model.generate(
            input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=MAX_NEW,
            temperature=None, top_p=None, top_k=None, pad_token_id=pad,
        )  # fmt: skip
        return self._renderer.tokenizer.batch_decode(out[:, longest:], skip_special_tokens=True)


def open_rubric(directory: Path) -> InstructRubric:
    """The instruct model of a directory; raises ModelError when it holds none."""
    return InstructRubric(
        load_scorer(directory), Renderer.from_dir(directory), weights_sha(directory)[:16]
    )
