"""The train stage on recorded rollouts: ``RECORDED=file python replayed_train.py ARGUMENTS…``.

With ``STOPPED=rank`` the process of that number gets a SIGTERM in the middle of its first update.

A draw that falls within rounding of a boundary would make two runs differ that are equal but for
rounding, on one machine in some hundred: rollouts are played back instead.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from recap.runtime.stage import run_stage
from recap.sampling.torch_sampler import TorchSampler
from recap.stages import train
from recap.types.rollouts import Sample


def recording(sample: Callable, calls: dict[int, list]) -> Callable:
    """``TorchSampler.sample`` that notes what each call gave, by its seed."""

    def noting(self, prompts, decoding, *, num_samples, seed, part):
        groups = sample(self, prompts, decoding, num_samples=num_samples, seed=seed, part=part)
        calls[seed] = [
            [(one.token_ids, one.sampling_logprobs, one.finish_reason) for one in group]
            for group in groups
        ]
        return groups

    return noting


def playing(recorded: Path) -> Callable:
    """``TorchSampler.sample`` that gives the part asked for of what was recorded."""
    calls = json.loads(recorded.read_text())

    def sample(self, prompts, decoding, *, num_samples, seed, part):
        if os.environ.get("STOPPED") == os.environ.get("RANK"):
            os.kill(os.getpid(), signal.SIGTERM)
        return [
            [Sample(tuple(ids), tuple(logprobs), reason) for ids, logprobs, reason in group]
            for group in calls[str(seed)][part]
        ]

    return sample


if __name__ == "__main__":
    TorchSampler.sample = playing(Path(os.environ["RECORDED"]))
    run_stage(train.main)
