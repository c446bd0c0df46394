"""The seed of ``params.yaml``, written in place."""

from __future__ import annotations

import re
from pathlib import Path

from recap.errors import ParameterError
from recap.rows import atomic_path


def write_seed(path: Path, seed: int) -> bool:
    """Set the top-level ``seed`` in place, comments kept; returns whether it changed."""
    text = path.read_text(encoding="utf-8")
    changed, found = re.subn(
        r"^seed:\s*\d+(?P<rest>.*)$", rf"seed: {seed}\g<rest>", text, flags=re.MULTILINE
    )
    if found != 1:
        raise ParameterError(
            f"Expected one line `seed: <number>` in {path}, got {found}. Set the seed by hand."
        )
    if changed != text:
        with atomic_path(path) as part:
            part.write_text(changed, encoding="utf-8")
    return changed != text
