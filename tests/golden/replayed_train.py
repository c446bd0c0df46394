"""The train stage on recorded rollouts: ``RECORDED=file python replayed_train.py ARGUMENTS…``.

With ``STOPPED=rank`` the process of that number gets a SIGTERM in the middle of its first update,
with ``STOPPED=stage`` the stage that started the processes; with ``KILLED=rank`` it is killed.

A draw that falls within rounding of a boundary would make two runs differ that are equal but for
rounding, on one machine in some hundred: rollouts are played back instead.

The stage above its processes imports what the product's does, and no model's code.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from recap.runtime.lean import import_less
from recap.runtime.stage import run_stage
from recap.stages import train
from recap.types.rollouts import Sample
from tests.waiting import until


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
        rank = os.environ.get("RANK")
        if os.environ.get("STOPPED") == rank:
            os.kill(os.getpid(), signal.SIGTERM)
        if os.environ.get("STOPPED") == "stage" and rank == "0":
            stop_the_stage()
        if "KILLED" in os.environ:
            if os.environ["KILLED"] == rank:
                os.kill(os.getpid(), signal.SIGKILL)
            from torch import distributed

            distributed.barrier()  # with one that is gone
        return [
            [Sample(tuple(ids), tuple(logprobs), reason) for ids, logprobs, reason in group]
            for group in calls[str(seed)][part]
        ]

    return sample


def stop_the_stage() -> None:
    """SIGTERM to the stage above; returns when it has come back to this process."""
    came: list[int] = []
    handler = signal.getsignal(signal.SIGTERM)

    def noting(number, frame):
        came.append(number)
        handler(number, frame)

    signal.signal(signal.SIGTERM, noting)
    os.kill(os.getppid(), signal.SIGTERM)
    until(lambda: bool(came))
    os.environ.pop("STOPPED")


if __name__ == "__main__":
    import_less()
    if "RANK" in os.environ:
        from recap.sampling.torch_sampler import TorchSampler

        TorchSampler.sample = playing(Path(os.environ["RECORDED"]))
    run_stage(train.main)
