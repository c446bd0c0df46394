"""What scores responses for rewards, for the verification of prefills and for an adversary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class RewardModel(Protocol):
    """A guardian: a model that answers (``yes_no``) or rules (``rules``).

    ``pairs`` are (prompt, response).
    """

    @property
    def template(self) -> str:
        """What it asks with: a chat template, or the digest of the rules."""
        ...

    def p_yes(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """P(unsafe) for each pair; nan without a number."""
        ...

    def log_odds(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The log-odds of unsafe for each pair; nan without a number."""
        ...

    def rubric(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """How far each response complies: 0, 0.5 or 1; ``None`` without an answer."""
        ...
