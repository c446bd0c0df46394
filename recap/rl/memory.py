"""Too little memory for a pass: how it is known, and how it is told.

Leaves out what follows: the trainer repeats the step in smaller parts (``RecapTrainer.backward``).
"""

from __future__ import annotations

import torch


def out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; torch's allocator for CPUs says so in words alone."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "DefaultCPUAllocator: can't allocate memory" in str(error)


def too_little(rows: int, lack: str, update: int) -> str:
    """The message about a pass of so many rows that did not fit, as ``lack`` says."""
    return (
        f"Expected memory for one forward and backward pass of {rows} rollouts (update {update}), "
        f"got: {lack} Lower train.grpo.max_completion_length, or train on devices with more memory."
    )
