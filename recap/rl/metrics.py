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
from recap.types.rollouts import RolloutGroup
from recap.types.row import Domain

Metrics = dict[str, int | float | None]
PARTS = ("generation", "scoring", "forward", "backward")
"""What an update's time is for; the rest is ``other``."""


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


@dataclass(slots=True)
class Speed:
    """Where an update's seconds went, the operations done in them (``recap.rl.flops``), and how
    often the update had to make do with less memory.

    ``gemm_peak`` is in operations per second, ``None`` where nobody counted operations;
    ``generation_flops`` is ``None`` too where generation has another precision than the peak.
    """

    gemm_peak: float | None
    total: float = 0.0
    generation: float = 0.0
    scoring: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    generation_flops: int | None = None
    training_flops: int = 0
    memory_retries: int = 0


def update_metrics(
    update: int,
    collection: Collection,
    steps: Sequence[StepResult],
    *,
    batch_groups: int,
    tau: float,
    epoch: float,
    learning_rate: float,
    carries: bool = False,
) -> Metrics:
    """The numbers of one update, everything but its speed.

    ``carries``: refill may leave a surplus, so there are numbers about it.
    """
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
    batch = collection.batch
    metrics["groups_missing"] = max(batch_groups - len(batch), 0)
    if carries:
        ages = [update - group.policy_version for group in batch]
        metrics["groups_carried_in"] = len(collection.carried_in)
        metrics["groups_carried_out"] = len(collection.carried_out)
        metrics["groups_too_old"] = len(collection.too_old)
        metrics["age"] = statistics.fmean(ages) if ages else None
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
    """The same numbers with the machine's: for logs and trackers, never for a DVC out."""
    parts = {name: getattr(speed, name) for name in PARTS}
    parts["other"] = speed.total - sum(parts.values())
    return {
        **metrics,
        "seconds": speed.total,
        **{f"seconds_{name}": seconds for name, seconds in parts.items()},
        **{f"time_share_{name}": seconds / speed.total for name, seconds in parts.items()},
        "tokens_per_second": (metrics["tokens"] or 0) / speed.total,
        "memory_retries": speed.memory_retries,
        "gemm_peak": speed.gemm_peak,
        "gemm_share_generation": _share_of_peak(
            speed.generation_flops, speed.generation, speed.gemm_peak
        ),
        "gemm_share_training": _share_of_peak(
            speed.training_flops, speed.forward + speed.backward, speed.gemm_peak
        ),
    }


def _share_of_peak(flops: int | None, seconds: float, peak: float | None) -> float | None:
    return None if flops is None or not seconds or not peak else flops / seconds / peak


def _scores(groups: Sequence[RolloutGroup]) -> list[float]:
    return [r.value for group in groups for r in group.rewards if r.value is not None]


def _mean_reward(groups: Sequence[RolloutGroup]) -> float | None:
    scores = _scores(groups)
    return statistics.fmean(scores) if scores else None


def _share_above(groups: Sequence[RolloutGroup], tau: float) -> float | None:
    scores = _scores(groups)
    return statistics.fmean(score > tau for score in scores) if scores else None
