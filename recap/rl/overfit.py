"""One batch trained on again and again: a loss that does not fall is a fault of the update.

The surrogate of an informative batch starts near 0 and falls until the clip holds every token.
For debugging (``recap run --profile debug``); no stage uses it.
"""

from __future__ import annotations

from pathlib import Path

from torch.profiler import ProfilerActivity, profile, supported_activities
from transformers import set_seed

from recap.errors import TrainingError
from recap.rl.trainer import RecapTrainer

STEPS = 20
"""Optimizer steps on the one batch."""


def overfit(trainer: RecapTrainer, seed: int, trace: Path) -> list[float]:
    """The batch's loss before each step and after the last one.

    ``trace`` is what the profiler saw of the first update (rollouts, scoring, one optimizer step),
    as Chrome's trace events. Raises TrainingError when no group has contrast.
    """
    set_seed(seed)
    activities = supported_activities() & {ProfilerActivity.CPU, ProfilerActivity.CUDA}
    with profile(activities=activities) as seen:
        batch = trainer.collect()
        if not batch:
            raise TrainingError(
                "Expected a group whose rollouts differ in reward, got none. Raise "
                "train.max_refill_rounds or models.policy.updates in infra/profiles/debug.yaml."
            )
        losses = [trainer.optimise(batch).loss]
    trace.parent.mkdir(parents=True, exist_ok=True)
    seen.export_chrome_trace(str(trace))
    return losses + [trainer.optimise(batch).loss for _ in range(STEPS)]
