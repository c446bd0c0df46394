"""The variant of zero updates: the base policy's files, byte for byte; no metrics, no snapshots."""

from __future__ import annotations

import shutil
from pathlib import Path

from recap.errors import ModelError
from recap.models.places import weights_folder
from recap.rows import atomic_directory, write_rows


def copy_policy(policy: Path, out: Path, metrics: Path, snapshots: Path) -> None:
    """Copy the policy's directory to ``out``; the metrics file and the snapshots stay empty."""
    if not any(weights_folder(policy).glob("*.safetensors")):
        raise ModelError(
            f"Expected a model with safetensors weights at {policy}, found none. "
            "Run the stage that makes it, or correct the path."
        )
    with atomic_directory(out) as part:
        shutil.copytree(policy, part, dirs_exist_ok=True)
    with atomic_directory(snapshots):
        pass
    write_rows(metrics, [])
