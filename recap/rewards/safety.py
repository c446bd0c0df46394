"""The safety reward: the guardian on (x, y_resp).

The paper uses "its logits as continuous reward" but does not publish the mapping. ``prob``
(default) is P(No), ``logit`` the log-odds of No, ``binary`` the guardian's label. To add a mapping,
write a function of the log-odds in a new file and add its line to ``MODES``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from recap.errors import ParameterError, choices

if TYPE_CHECKING:
    from recap.scoring.reward_model import RewardModel


def prob(log_odds_yes: float) -> float:
    """P(No)."""
    return 1.0 / (1.0 + math.exp(min(log_odds_yes, 700.0)))


def logit(log_odds_yes: float) -> float:
    """The log-odds of No."""
    return -log_odds_yes


def binary(log_odds_yes: float) -> float:
    """1 if No is more probable than Yes, else 0."""
    return float(log_odds_yes < 0)


MODES: dict[str, Callable[[float], float]] = {
    "prob": prob,
    "logit": logit,
    "binary": binary,
}
"""``train.safety_reward`` -> the reward for finite log-odds of harm."""


def check_mode(mode: str) -> None:
    """Raise ParameterError for an unknown mode."""
    if mode not in MODES:
        raise ParameterError(
            f"Expected a safety reward among {choices(MODES)}, got '{mode}'. Correct "
            "train.safety_reward (or a variant's), or register it in recap/rewards/safety.py."
        )


def safety_rewards(
    guardian: RewardModel, pairs: Sequence[tuple[str, str]], mode: str
) -> list[float | None]:
    """One reward for each (prompt, response); ``None`` if the guardian gave no number."""
    return [MODES[mode](odds) if math.isfinite(odds) else None for odds in guardian.log_odds(pairs)]
