"""One line of numbers for each update (docs/metrics.md says what each means and when to worry).

``update_metrics`` is a pure function of what the update saw, so that its lines may stand in a DVC
out; seconds and tokens/s are added apart by ``with_speed``. "No score" is ``None``.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from recap.rl.collection import Collection
from recap.rl.dynamic_sampling import Fate
from recap.types import Domain, RolloutGroup

Metrics = dict[str, int | float | None]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one optimizer step gave; token means are over its optimised tokens.

    ``applied`` is False when loss or gradient were not finite and the weights stayed as they were.
    """

    loss: float
    grad_norm: float
    clip_low: float
    clip_high: float
    entropy: float
    tokens: int
    applied: bool


@dataclass(frozen=True, slots=True)
class Speed:
    """Where an update's seconds went."""

    total: float
    generation: float
    scoring: float
    optimisation: float


def update_metrics(
    update: int,
    collection: Collection,
    steps: Sequence[StepResult],
    *,
    batch_groups: int,
    tau: float,
    epoch: float,
    learning_rate: float,
) -> Metrics:
    """The numbers of one update, everything but its speed."""
    rollouts = [rollout for group in collection.groups for rollout in group.rollouts]
    lengths = [len(rollout.sample.token_ids) for rollout in rollouts]
    counts = collection.counts
    metrics: Metrics = {"update": update, "epoch": epoch, "learning_rate": learning_rate}
    metrics["reward"] = _mean_reward(collection.groups)
    for domain in get_args(Domain):
        own = [group for group in collection.groups if group.prompt.record.domain == domain]
        metrics[f"reward_{domain}"] = _mean_reward(own)
        metrics[f"solved_{domain}"] = _share_above(own, tau)
    prefilled = [group for group in collection.groups if group.prompt.prefill]
    metrics["reward_prefilled"] = _mean_reward(prefilled)
    metrics["solved"] = _share_above(collection.groups, tau)
    metrics["groups_drawn"] = len(collection.groups)
    for fate in get_args(Fate):
        metrics[f"groups_{fate}"] = counts[fate]
    metrics["groups_missing"] = max(batch_groups - counts["kept"], 0)
    metrics["refill_rounds"] = collection.rounds - 1
    metrics["share_prefilled"] = len(prefilled) / len(collection.groups)
    metrics["share_truncated"] = statistics.fmean(
        rollout.sample.finish_reason == "length" for rollout in rollouts
    )
    metrics["unscored"] = sum(r.value is None for g in collection.groups for r in g.rewards)
    metrics["completion_tokens"] = statistics.fmean(lengths)
    metrics["tokens"] = sum(lengths)
    metrics["optimised_tokens"] = sum(step.tokens for step in steps)
    good = [step for step in steps if step.applied]
    metrics["skipped_steps"] = len(steps) - len(good)
    for name in ("loss", "grad_norm", "clip_low", "clip_high", "entropy"):
        values = [getattr(step, name) for step in good]
        metrics[name] = statistics.fmean(values) if values else None
    return metrics | collection.self_prefill | collection.curriculum


def with_speed(metrics: Metrics, speed: Speed) -> Metrics:
    """The same numbers with seconds and tokens/s: for logs and trackers, never for a DVC out."""
    other = speed.total - speed.generation - speed.scoring - speed.optimisation
    return metrics | {
        "seconds": speed.total,
        "seconds_generation": speed.generation,
        "seconds_scoring": speed.scoring,
        "seconds_optimisation": speed.optimisation,
        "seconds_other": other,
        "tokens_per_second": (metrics["tokens"] or 0) / speed.total,
    }


def _scores(groups: Sequence[RolloutGroup]) -> list[float]:
    return [r.value for group in groups for r in group.rewards if r.value is not None]


def _mean_reward(groups: Sequence[RolloutGroup]) -> float | None:
    scores = _scores(groups)
    return statistics.fmean(scores) if scores else None


def _share_above(groups: Sequence[RolloutGroup], tau: float) -> float | None:
    scores = _scores(groups)
    return statistics.fmean(score > tau for score in scores) if scores else None
