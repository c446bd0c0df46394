"""The variant of zero updates: the base policy's files, byte for byte, and no metrics."""

from __future__ import annotations

import shutil
from pathlib import Path

from recap.errors import ModelError
from recap.rows import atomic_directory, write_rows


def copy_policy(policy: Path, out: Path, metrics: Path) -> None:
    """Copy the policy's directory to ``out`` in one rename, and write an empty metrics file."""
    if not any(policy.glob("*.safetensors")):
        raise ModelError(
            f"Expected a model with safetensors weights at {policy}, found none. "
            "Run the stage that makes it, or correct the path."
        )
    with atomic_directory(out) as part:
        shutil.copytree(policy, part, dirs_exist_ok=True)
    write_rows(metrics, [])
