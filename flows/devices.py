"""The GPUs of this machine, and how many a stage takes, so that no two stages share one.

A run gives each stage GPUs of its own (flows/schedule.py); the stage sees no others. Leaves out
what else runs on the machine: whoever starts two runs divides it by CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from recap.params.sampling import Sampling
from recap.params.train import Train
from recap.params.whole import Params

VISIBLE = "CUDA_VISIBLE_DEVICES"
SAMPLING = ("prefill", "attack", "dynamics")
"""Stages that sample by the section ``sampling``, and ask a guardian."""
ONE = ("models", "sources", "judge")
"""Stages that load models one after another."""


def visible(folder: Path = Path("/dev")) -> list[str]:
    """The GPUs that this run may use, by number or name; of NVIDIA's, as its driver lists them."""
    named = os.environ.get(VISIBLE)
    if named is not None:
        return [name for name in named.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number in range(len(list(folder.glob("nvidia[0-9]*"))))]


def taken(params: Params, stage: str, variant: str) -> int:
    """The GPUs that a stage takes where there are so many.

    ``variant``: of a training; empty for one that has no name of its own.
    """
    if stage == "train":
        train = params.for_variant(variant) if variant else params.train
        return train.launch.processes + _own_servers(train) if train.updates else 0
    if stage in SAMPLING:
        return 1 + _own_servers(params.sampling)  # a guardian's, or that of an engine in the stage
    return 1 if stage in ONE else 0


def environment(devices: Sequence[str] | None) -> dict[str, str]:
    """What a stage with these GPUs gets; nothing on a machine without any (``None``)."""
    return {} if devices is None else {VISIBLE: ",".join(devices)}


def _own_servers(section: Sampling | Train) -> int:
    """The GPUs of the servers that a stage starts on this machine."""
    if section.engine != "server" or section.servers.elsewhere:
        return 0
    return section.servers.count * section.servers.tensor_parallel
