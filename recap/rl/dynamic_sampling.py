"""Which rollout groups teach anything, and how much each rollout does (paper, section "Objective").

Pure functions of a group's rewards. The rule of dynamic sampling on continuous rewards: a group is
discarded if no reward exceeds ``epsilon`` (nothing solved), if all exceed ``tau`` (everything
solved), or if they do not differ by more than ``epsilon`` (no contrast). Unscored members take no
part in any of it. Leaves out carrying surplus groups over to the next update.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from recap.types.rollouts import Reward

Fate = Literal["kept", "unscored", "failed", "solved", "flat"]
"""What becomes of a group; all but ``kept`` are discarded and replaced."""
STD_EPSILON = 1e-4
"""TRL adds this to the group's standard deviation."""


def filter_group(rewards: Sequence[Reward], *, tau: float, epsilon: float) -> Fate:
    """The fate of a group by its scored rewards.

    ``unscored``: fewer than two members have a score, so that there is no contrast to speak of.
    """
    scores = [reward.value for reward in rewards if reward.value is not None]
    if len(scores) < 2:
        return "unscored"
    if max(scores) <= epsilon:
        return "failed"
    if min(scores) > tau:
        return "solved"
    if statistics.stdev(scores) <= epsilon:
        return "flat"
    return "kept"


def group_advantages(rewards: Sequence[Reward], *, scaled: bool = True) -> list[float]:
    """A_i = (R_i - mean R) / (std R + 1e-4) over the scored members (sample std, as in TRL).

    Not ``scaled`` (Dr. GRPO): A_i = R_i - mean R. An unscored member gets advantage 0: it moves
    neither the policy nor its group's baseline.
    """
    scores = [reward.value for reward in rewards if reward.value is not None]
    if len(scores) < 2:
        return [0.0] * len(rewards)
    mean = statistics.fmean(scores)
    scale = statistics.stdev(scores) + STD_EPSILON if scaled else 1.0
    return [0.0 if reward.value is None else (reward.value - mean) / scale for reward in rewards]
