"""``python -m recap.rl.all_reduce``: the processes of a launch add up their numbers, and check.

A cluster whose machines cannot talk shows it here, in seconds, and not in the first update's
gradients. Started by the same launcher as training. Leaves out how fast they talk.
"""

from __future__ import annotations

import os
import socket
import sys
from datetime import timedelta

import torch

from recap.errors import TrainingError

PATIENCE = timedelta(minutes=10)
"""For machines whose containers start late."""


def check_sum(patience: timedelta = PATIENCE) -> int:
    """The number of processes; raises TrainingError unless all were in one sum."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=patience)
    try:
        rank, count = torch.distributed.get_rank(), torch.distributed.get_world_size()
        total = torch.tensor([float(rank + 1)], device="cuda" if on_gpu else "cpu")
        torch.distributed.all_reduce(total)
        expected = count * (count + 1) / 2
        if total.item() != expected:
            raise TrainingError(
                f"Expected {count} processes to add up to {expected:g}, got {total.item():g} in "
                f"rank {rank} on {socket.gethostname()}. Look at the machines' network."
            )
        if rank == 0:
            print(f"all-reduce: {count} processes add up", file=sys.stderr)
        return count
    finally:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    check_sum()
