"""How far an answer to a benign prompt complies: 0, 0.5 or 1 (paper, rewards: overrefusal).

Asked of the guardian, if it was taught the rubric (the microworld's was), or of an instruct model
by its own chat template, "with just that number", decoded greedily. An answer that is none of the
three is *unscored*. Leaves out harmful prompts, of which compliance says too little, and sums.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel

from recap.judges.judge import Judge, Opinion
from recap.judges.questions import PROMPT_SHA, RUBRIC, ask, read
from recap.models.weights import load_scorer
from recap.render import Renderer
from recap.scoring.yes_no import Guardian
from recap.types.attacks import Completion
from recap.types.row import Domain, Label

MAX_NEW = 6
"""Tokens of an answer; ``0.5`` has up to three, and one more shows that it ended."""


class Rubric(ABC):
    """Reads answers to benign prompts; ``pairs`` are (prompt, response)."""

    revision: str
    prompt_sha: str

    @abstractmethod
    def labels(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[Label | None, str]]:
        """Label and raw answer for each pair."""


class GuardianRubric(Rubric):
    """The guardian's own: the likeliest of all next tokens has to be one of the three answers."""

    def __init__(self, guardian: Guardian, revision: str, prompt_sha: str) -> None:
        self._guardian, self.revision, self.prompt_sha = guardian, revision, prompt_sha

    def labels(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[Label | None, str]]:
        """Label and raw answer for each pair."""
        return [
            (None, "no answer of the rubric")
            if answer is None
            else (RUBRIC.answers[f"{answer:g}"], f"{answer:g}")
            for answer in self._guardian.rubric(pairs)
        ]


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
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=MAX_NEW,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=pad,
        )
        return self._renderer.tokenizer.batch_decode(out[:, longest:], skip_special_tokens=True)


def compliance(rubric: Rubric, rows: Sequence[Completion]) -> list[Opinion]:
    """One opinion on each benign completion; equal ones are asked about once."""
    pairs = [(row.prompt, row.response or "") for row in rows]
    asked = list(dict.fromkeys(pairs))
    found = dict(zip(asked, rubric.labels(asked), strict=True))
    return [Opinion(*found[pair]) for pair in pairs]


class RubricJudge(Judge):
    """The rubric alone."""

    name = "rubric"
    domains: frozenset[Domain] = frozenset({"benign"})

    def __init__(self, rubric: Rubric) -> None:
        self._rubric, self.revision, self.prompt_sha = rubric, rubric.revision, rubric.prompt_sha

    def opinions(self, completions: Sequence[Completion]) -> list[Opinion]:
        """One opinion each; ``None`` where the model gave no answer of the rubric."""
        return compliance(self._rubric, completions)


def open_rubric(directory: Path) -> InstructRubric:
    """The instruct model of a directory; raises ModelError when it holds none."""
    return InstructRubric(
        load_scorer(directory), Renderer.from_dir(directory), weights_sha(directory)[:16]
    )


def weights_sha(directory: Path) -> str:
    """One hash of all weight files, in the order of their names."""
    digests = []
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
