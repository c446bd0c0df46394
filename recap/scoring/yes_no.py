"""A guardian's answers, read from the log-probabilities of the position after its question.

``harm`` is answered Yes or No (Granite Guardian 3.1's way: paper, rewards), ``rubric`` by 0, 0.5 or
1. Questions are padded on the left, so that all end at one position and the head computes nothing
but that; shortest first. Leaves out generated explanations: one position is all that is asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from recap.errors import ModelError
from recap.render import Renderer
from recap.scoring.padded import last_logits, padded

RUBRIC = ("0", "0.5", "1")
MOST_UNKNOWN = 0.2
"""Share of unknown tokens in a question from which on the guardian does not speak its language."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the guardian says to N questions: log P(Yes) - log P(No), and its likeliest token.

    A question that does not fit the guardian's context, or whose words it does not know, has odds
    nan and token -1.
    """

    log_odds_N: Tensor
    token_N: Tensor


class Asking(ABC):
    """A guardian's answers, whoever computes them; ``pairs`` are (prompt, response)."""

    def __init__(self, renderer: Renderer, context: int) -> None:
        """``context``: tokens of its longest question.

        Raises ModelError unless Yes and No are one token each.
        """
        self._renderer, self._context = renderer, context
        self._yes, self._no = self._token("Yes"), self._token("No")

    @property
    def template(self) -> str:
        """The chat template that its questions are rendered with."""
        return self._renderer.template

    def p_yes(self, pairs: Sequence[tuple[str, str]], risk_name: str = "harm") -> list[float]:
        """P(Yes) / (P(Yes) + P(No)) for each pair; nan where the guardian gave no number."""
        return self._ask(pairs, risk_name).log_odds_N.sigmoid().tolist()

    def log_odds(self, pairs: Sequence[tuple[str, str]], risk_name: str = "harm") -> list[float]:
        """The odds of Yes, log P(Yes) - log P(No), for each pair; nan where there is no number."""
        return self._ask(pairs, risk_name).log_odds_N.tolist()

    def rubric(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """How far each response complies: 0, 0.5 or 1; ``None`` if the answer is none of them.

        The answer is the likeliest of all tokens, so that a guardian that would say something else
        is unscored instead of forced. Raises ModelError unless each answer is one token.
        """
        said = {self._token(answer): float(answer) for answer in RUBRIC}
        return [said.get(token) for token in self._ask(pairs, "rubric").token_N.tolist()]

    @abstractmethod
    def _read(self, questions: Sequence[Sequence[int]], risk_name: str) -> Answers:
        """What it says to questions that fit; of ``harm`` the odds, of ``rubric`` the token."""

    def _ask(self, pairs: Sequence[tuple[str, str]], risk_name: str) -> Answers:
        questions = [self._renderer.judge(*pair, risk_name) for pair in pairs]
        fitting = [
            i for i, ids in enumerate(questions) if len(ids) <= self._context and self._knows(ids)
        ]
        odds = torch.full((len(questions),), torch.nan, dtype=torch.float64)
        tokens = torch.full((len(questions),), -1)
        if fitting:
            read = self._read([questions[index] for index in fitting], risk_name)
            odds[fitting], tokens[fitting] = read.log_odds_N, read.token_N
        return Answers(odds, tokens)

    def _knows(self, question: Sequence[int]) -> bool:
        unknown = self._renderer.tokenizer.unk_token_id
        return unknown is None or question.count(unknown) <= MOST_UNKNOWN * len(question)

    def _token(self, answer: str) -> int:
        ids = self._renderer.tokenizer.encode(answer, add_special_tokens=False)
        if len(ids) != 1 or ids[0] == self._renderer.tokenizer.unk_token_id:
            raise ModelError(
                f"Expected the guardian's answer '{answer}' to be one token, got {len(ids)} "
                "(or the unknown token). Use a guardian whose tokenizer has it; for one that was "
                "never taught the rubric (Granite's), name a model in models.origins.rubric."
            )
        return ids[0]


class Guardian(Asking):
    """A guardian model in this process."""

    def __init__(self, model: PreTrainedModel, renderer: Renderer, batch_size: int = 256) -> None:
        """Raises ModelError unless Yes and No are one token each."""
        super().__init__(renderer, model.config.max_position_embeddings)
        self._model, self._batch_size = model.eval(), batch_size

    @torch.inference_mode()
    def _read(self, questions: Sequence[Sequence[int]], risk_name: str) -> Answers:
        order = sorted(range(len(questions)), key=lambda index: len(questions[index]))
        odds = torch.empty(len(questions), dtype=torch.float64)
        tokens = torch.empty(len(questions), dtype=torch.long)
        for first in range(0, len(order), self._batch_size):
            chosen = order[first : first + self._batch_size]
            logits = self._last_logits([questions[index] for index in chosen])
            odds[chosen] = (logits[:, self._yes] - logits[:, self._no]).double().cpu()
            tokens[chosen] = logits.argmax(-1).cpu()
        return Answers(odds, tokens)

    def _last_logits(self, questions: Sequence[Sequence[int]]) -> Tensor:
        """Logits [N, V] of the token after each question."""
        return last_logits(
            self._model, *padded(questions, self._renderer.pad_id, self._model.device)
        )
