"""The disk that a training fills, asked for before it starts.

By the number of parameters, which are trained and written in fp32, and not by the files of the base
policy: those of another's model are linked, are 16 bits wide, and are not copied.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path

from recap.errors import SpaceError
from recap.models.places import weights_folder
from recap.params.train import Train
from recap.rl.checkpoint import KEPT

FP32, BF16 = 4, 2
"""Bytes of a number."""
STATES = KEPT + 1
"""States side by side: those that are kept, and the one that is being written."""
IN_STATE = 3
"""Numbers of a trained parameter in a state: itself and AdamW's two moments."""
SNAPSHOT_COPIES = 2
"""Of a snapshot: beside the states, and where the stage puts it at its end."""


def check_space(policy: Path, train: Train, places: Sequence[Path]) -> None:
    """Raise SpaceError unless every place has room for states, snapshots and the result."""
    needed = bytes_needed(policy, train)
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place).free
        if free < needed:
            raise SpaceError(
                f"Expected {needed / 1e6:.0f} MB free in {place} for training, got "
                f"{free / 1e6:.0f} MB. Free some space and run again."
            )


def bytes_needed(policy: Path, train: Train) -> int:
    """Of a training of ``policy``: states, snapshots and the result, an adapter merged in it."""
    shapes = list(_shapes(weights_folder(policy)))
    whole = sum(prod(shape) for _, shape in shapes)
    trained = whole
    if train.adapter is not None:
        targets = tuple(f".{name}.weight" for name in train.adapter.targets)
        trained = train.adapter.rank * sum(
            sum(shape) for name, shape in shapes if name.endswith(targets)
        )
    snapshots = max(train.updates - 1, 0) // train.snapshot_updates
    written = FP32 if train.stored_precision == "float32" else BF16
    models = written * whole * (1 + SNAPSHOT_COPIES * snapshots)
    return STATES * IN_STATE * FP32 * trained + models


def _shapes(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Name and shape of each tensor in a model's files, from their heads alone."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as stream:
            head = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        for name, tensor in head.items():
            if name != "__metadata__":
                yield name, tensor["shape"]
