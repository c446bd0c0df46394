"""Several processes that train one policy: who does which part, and how the parts come together.

All draw the same prompts and come to the same decisions; each samples, scores and optimises its
part. Started by torch's launcher (``recap.rl.launch``, torchrun or accelerate's); without it every
function is that of a single process. Leaves out the gradients of a sharded policy: FSDP averages
them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch.nn import Parameter

from recap.errors import ParameterError

T = TypeVar("T")
LAUNCHER_ID = "TORCHELASTIC_RUN_ID"
"""What torch's launcher, which is accelerate's too, sets beside ``WORLD_SIZE``."""


MACHINE_DEVICES = "RECAP_MACHINE_DEVICES"
"""Environment variable: the GPUs that a stage may use, while each of its processes sees one."""


def machine_devices() -> list[str]:
    """The GPUs of this machine that this stage may use, all of its processes together."""
    named = os.environ.get(MACHINE_DEVICES) or os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(n) for n in range(torch.cuda.device_count())]


LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_", "GROUP_", "LOCAL_", "ROLE_", "TORCHELASTIC_")
"""Beginnings of the variables that a launcher gives each of its processes."""


def without_launch(env: Mapping[str, str]) -> dict[str, str]:
    """An environment for a child that is none of the launch's processes."""
    return {name: value for name, value in env.items() if not name.startswith(LAUNCHED)}


def is_launched() -> bool:
    """Whether a launcher started this process, alone or beside others."""
    return torch.distributed.is_torchelastic_launched()


def refuse_leftovers() -> None:
    """Raise ParameterError for the variables of a launch that no launcher has set."""
    size = os.environ.get("WORLD_SIZE", "1")
    if size != "1" and not is_launched():
        raise ParameterError(
            f"Expected a launcher to have started this process, got WORLD_SIZE={size} without one "
            f"({LAUNCHER_ID} is not set): the others would be waited for in vain. Run `unset "
            "WORLD_SIZE RANK LOCAL_RANK MASTER_ADDR MASTER_PORT`; to train in several processes, "
            "set train.launch.processes."
        )


@contextmanager
def joined(expected: int) -> Iterator[None]:
    """Within, the processes of one launch know each other; without a GPU they talk over gloo.

    Raises ParameterError where accelerate was told to shard, which is ``train.launch``'s to say;
    for leftover variables, since nobody else would ever come; and for another number of processes
    than ``expected``, which the result would be recorded with.
    """
    for name in ("FSDP", "DEEPSPEED"):
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
            raise ParameterError(
                f"Expected a launch that leaves sharding to train.launch.shard, got {name} from "
                "accelerate. Set train.launch: {processes: …, nodes: 1, shard: fsdp2} and run the "
                "stage without `accelerate launch`."
            )
    refuse_leftovers()
    size = os.environ.get("WORLD_SIZE", "1")
    if size != str(expected):
        raise ParameterError(
            f"Expected {expected} processes in all, as train.launch has it, got {size} from the "
            "launcher. Launch that many, or change train.launch."
        )
    if size == "1":
        yield
        return
    from accelerate import PartialState  # here: who only starts the processes does without

    on_cpu = not torch.cuda.is_available()
    if on_cpu:  # without it accelerate takes each of the processes for the only one
        os.environ["ACCELERATE_USE_CPU"] = "true"
    PartialState(cpu=on_cpu)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def count() -> int:
    """How many processes there are."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def index() -> int:
    """The number of this process, from 0."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def is_main() -> bool:
    """Whether this process writes files."""
    return index() == 0


def part_of(items: int) -> slice:
    """The part of so many items that is this process's; parts differ by at most one item."""
    return slice(items * index() // count(), items * (index() + 1) // count())


def gathered(rows: list[T]) -> list[T]:
    """The rows of all processes, in the processes' order."""
    if count() == 1:
        return rows
    everybody: list[list[T]] = [[]] * count()
    torch.distributed.all_gather_object(everybody, rows)
    return [row for one in everybody for row in one]


def summed(values: Mapping[str, float]) -> dict[str, float]:
    """Values by name, each the sum over all processes; the names must be the same everywhere."""
    if count() == 1:
        return dict(values)
    rows = gathered([dict(values)])
    return {name: sum(row[name] for row in rows) for name in values}


def any_of(flag: bool) -> bool:
    """Whether it is true in any process."""
    return any(gathered([flag]))


def average_gradients(parameters: Iterable[Parameter]) -> None:
    """Give each trained parameter the mean of its gradients over all processes, in place."""
    if count() == 1:
        return
    for parameter in parameters:
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        torch.distributed.all_reduce(parameter.grad)
        parameter.grad /= count()


def from_main(value: T) -> T:
    """The main process's value, in every process; it has to be picklable."""
    if count() == 1:
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def together() -> None:
    """Wait until all processes are here."""
    if count() > 1:
        torch.distributed.barrier()


@contextmanager
def main_first() -> Iterator[None]:
    """The main process goes through the block before all others."""
    if count() == 1:
        yield
        return
    if not is_main():
        torch.distributed.barrier()
    yield
    if is_main():
        torch.distributed.barrier()
