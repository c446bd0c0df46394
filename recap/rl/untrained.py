"""The variant of zero updates: the base policy's files, byte for byte, and no metrics."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from recap.errors import ModelError
from recap.rows import write_rows


def copy_policy(policy: Path, out: Path, metrics: Path) -> None:
    """Copy the policy's directory to ``out`` in one rename, and write an empty metrics file."""
    if not any(policy.glob("*.safetensors")):
        raise ModelError(
            f"Expected a model with safetensors weights at {policy}, found none. "
            "Run the stage that makes it, or correct the path."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        shutil.copytree(policy, part, dirs_exist_ok=True)
        part.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    write_rows(metrics, [])
