"""The safety reward: the guardian on (x, y_resp).

The paper takes "its logits as continuous reward" without the mapping: ``prob`` (default) is P(No),
``logit`` the log-odds of No, ``binary`` the guardian's label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from recap.scoring.yes_no import Guardian

Mode = Literal["prob", "logit", "binary"]


def safety_rewards(
    guardian: Guardian, pairs: Sequence[tuple[str, str]], mode: Mode
) -> list[float | None]:
    """One reward for each (prompt, response); ``None`` where the guardian gave no number."""
    return [_reward(odds, mode) for odds in guardian.log_odds(pairs)]


def _reward(log_odds_yes: float, mode: Mode) -> float | None:
    if not math.isfinite(log_odds_yes):
        return None
    if mode == "logit":
        return -log_odds_yes
    if mode == "binary":
        return float(log_odds_yes < 0)
    return 1.0 / (1.0 + math.exp(min(log_odds_yes, 700.0)))
