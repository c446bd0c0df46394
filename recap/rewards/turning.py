"""An optional reward for turning round on a prefilled prompt (not in the paper; off by default).

This reward breaks the paper's rule that a reward never reads the thought. docs/curriculum.md
describes its cost and how a policy can game it. It looks for the phrases of
``recap.scoring.reflection`` in the generated thought and at the start of the response. It does not
check whether the turn caused the good answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from recap.scoring.reflection import find_reflection, turns_at_once
from recap.types.rollouts import Rollout


@dataclass(frozen=True, slots=True)
class TurnReward:
    """``weight`` on top of a reward above ``tau``, in the reward's units."""

    weight: float
    tau: float

    def add(self, rollout: Rollout, value: float | None) -> float | None:
        """The reward of a rollout whose answer earned ``value``; unscored stays ``None``.

        A turn without a good answer earns nothing.
        """
        if value is None or value <= self.tau or not turns_round(rollout):
            return value
        return value + self.weight


def turns_round(rollout: Rollout) -> bool:
    """Whether the policy turns round from its prefill; False on a clean prompt."""
    prefill = rollout.prompt.prefill
    if prefill is None:
        return False
    if find_reflection(rollout.cot, prefill.text) is not None:
        return True
    return turns_at_once(rollout.response or "")
