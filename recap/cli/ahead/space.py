"""Disk that a run fills, by place, against what is free there.

Trained policies, snapshots and states of training, downloads, and GGUF files made into fp32.
Prompts, completions and pages are small beside them. Leaves out the stage's own check, which asks
again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recap.cli.ahead.materials import Material, in_bytes
from recap.cli.ahead.stages import StageAhead
from recap.cli.doctor import FREE
from recap.errors import ParameterError
from recap.estimate.shape import Shape, shape_of
from recap.models.places import converted_folder
from recap.models.spelling import Gguf, OriginError, read_origin
from recap.params.train import Train
from recap.params.whole import Params

FP32, BF16 = 4, 2
STATES = 3
"""Of a training: the last two, and the one that is being written."""
COPIES = 2
"""Of an output: in the project and in DVC's cache."""


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes that a run needs and finds in one place."""

    place: Path
    what: str
    needed: int
    free: int

    def __str__(self) -> str:
        """One line."""
        return (
            f"disk {self.place}: {in_bytes(self.needed)} needed ({self.what}), "
            f"{in_bytes(self.free)} free"
        )


def spaces(
    root: Path,
    project: Path,
    params: Params,
    stages: Sequence[StageAhead],
    taken: Sequence[Material],
) -> list[Space]:
    """The places that a run fills, and what is free."""
    own = "policy" not in params.models.origins  # the microworld's
    parts = {
        "models, states and cache": int(FREE) if own else 0,
        "training": 0,
        "converted models": _converted(root, params),
    }
    shape = _shape(root, params)
    running = {name for stage in stages for name in stage.reasons}
    if shape is not None:
        cells = [
            params.for_variant(variant)
            for variant in params.matrix.variants
            for seed in params.matrix.seeds
            if f"train@{variant}-{seed}" in running
        ]
        states = [state_bytes(train, shape) for train in cells if train.updates]
        outputs = sum(output_bytes(train, shape) for train in cells)
        parts["training"] = COPIES * outputs + STATES * max(states, default=0)
    said = ", ".join(f"{what} {in_bytes(size)}" for what, size in parts.items() if size)
    said = said or ("small files" if shape else "and what training takes: the policy is unknown")
    found = [_space(project, said, sum(parts.values()))]
    if fetched := sum(row.fetched for row in taken):
        home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
        found.append(_space(Path(home).expanduser(), "downloads", fetched))
    return found


def output_bytes(train: Train, shape: Shape) -> int:
    """Of a trained policy and its snapshots; an adapter's are merged into the stored weights."""
    if not train.updates:
        return 0  # the base policy's files stay where they are
    width = FP32 if train.stored_precision == "float32" else BF16
    return width * shape.parameters * (1 + (train.updates - 1) // train.snapshot_updates)


def state_bytes(train: Train, shape: Shape) -> int:
    """Of one state: what is trained, in fp32, and AdamW's two moments of it."""
    if train.adapter is None:
        return 3 * FP32 * shape.parameters
    return 3 * FP32 * shape.adapter(train.adapter.rank, train.adapter.targets)


def _shape(root: Path, params: Params) -> Shape | None:
    """The policy's; the microworld's own are small, and of an unknown origin nothing is said."""
    origin = params.models.origins.get("policy")
    if origin is None:
        return None
    try:
        return shape_of(root, origin)
    except ParameterError:
        return None


def _converted(root: Path, params: Params) -> int:
    needed = 0
    for origin in {*params.models.origins.values(), *params.sources.origins.values()}:
        try:
            found = read_origin(root, origin)
        except OriginError:
            continue
        if isinstance(found, Gguf) and not (
            found.sha256 and converted_folder(root, found.sha256).is_dir()
        ):
            try:
                needed += FP32 * shape_of(root, origin).parameters
            except ParameterError:
                needed += 4 * found.path.stat().st_size  # of 8 bits a weight; less would be odd
    return needed


def _space(place: Path, what: str, needed: int) -> Space:
    there = place
    while not there.exists():
        there = there.parent
    return Space(place, what, needed, shutil.disk_usage(there).free)
