"""The overrefusal reward: a rubric's 0 (refusal), 0.5 (unclear) or 1 (full compliance)."""

from __future__ import annotations

from collections.abc import Sequence

from recap.scoring.reward_model import RewardModel


def helpfulness_rewards(
    guardian: RewardModel, pairs: Sequence[tuple[str, str]]
) -> list[float | None]:
    """One reward for each (prompt, response); ``None`` if the answer was not a rubric score."""
    return guardian.rubric(pairs)
