"""Rewards by domain: safety for harmful prompts, helpfulness for benign ones, correctness for math.

A rollout without a response, or with an empty one, gets the parameter ``truncated_reward``. (An
empty response is harmless, but the policy must not be rewarded for it.) A rollout that the reward
model could not score, or that overflowed the context, gets ``None``, never 0. Rewards use only the
prompt and the response, unless ``train.turn_reward`` is above 0 (``recap.rewards.turning``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from recap.params.train import Train
from recap.rewards.helpfulness import helpfulness_rewards
from recap.rewards.math import math_reward
from recap.rewards.safety import check_mode, safety_rewards
from recap.rewards.turning import TurnReward
from recap.scoring.reward_model import RewardModel
from recap.types.rollouts import Reward, Rollout
from recap.types.row import Domain

COMPONENT: dict[Domain, Literal["safety", "helpfulness", "math"]] = {
    "harmful": "safety",
    "benign": "helpfulness",
    "math": "math",
}


class Rewards:
    """Scores rollouts of all domains together."""

    def __init__(
        self,
        guardian: RewardModel,
        safety_mode: str,
        truncated_reward: float,
        turn: TurnReward | None = None,
    ) -> None:
        self._guardian, self._mode, self._truncated = guardian, safety_mode, truncated_reward
        self._turn = turn

    @classmethod
    def of(cls, train: Train, guardian: RewardModel) -> Rewards:
        """The rewards of a variant; raises ParameterError for an unknown name."""
        check_mode(train.safety_reward)
        turn = TurnReward(train.turn_reward, train.tau) if train.turn_reward else None
        return cls(guardian, train.safety_reward, train.truncated_reward, turn)

    def score(self, rollouts: Sequence[Rollout]) -> list[Reward]:
        """One reward for each rollout, in order."""
        values: list[float | None] = [
            None if rollout.sample.finish_reason == "overflow" else self._truncated
            for rollout in rollouts
        ]
        by_domain: dict[Domain, list[int]] = {domain: [] for domain in COMPONENT}
        for index, rollout in enumerate(rollouts):
            if rollout.response and rollout.response.strip():
                by_domain[rollout.prompt.record.domain].append(index)
        for domain, members in by_domain.items():
            if members:
                scored = self._score_domain(domain, [rollouts[index] for index in members])
                for index, value in zip(members, scored, strict=True):
                    values[index] = value
        if self._turn is not None:
            values = [self._turn.add(r, v) for r, v in zip(rollouts, values, strict=True)]
        return [
            Reward(value, COMPONENT[rollout.prompt.record.domain])
            for rollout, value in zip(rollouts, values, strict=True)
        ]

    def _score_domain(self, domain: Domain, rollouts: list[Rollout]) -> list[float | None]:
        answers = [(r.prompt.record, r.response) for r in rollouts if r.response]
        if domain == "math":
            return [math_reward(record, response) for record, response in answers]
        pairs = [(record.prompt, response) for record, response in answers]
        if domain == "harmful":
            return safety_rewards(self._guardian, pairs, self._mode)
        return helpfulness_rewards(self._guardian, pairs)
