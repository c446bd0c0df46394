"""Which other Python is on this machine: on PATH, or kept by pyenv. Not a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

VERSIONS = ("3.12", "3.13", "3.11")
"""Those that the project is installed on, the most frequent first."""
ASK = "import ensurepip, sys; print('.'.join(map(str, sys.version_info[:3])))"


def other_python() -> tuple[Path, str] | None:
    """Path and version of the first that runs and is not this interpreter's version."""
    mine = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for version in VERSIONS:
        for path in candidates(version):
            if version != mine and (full := version_of(path)).startswith(f"{version}."):
                return path, full
    return None


def candidates(version: str) -> Iterator[Path]:
    """Where an interpreter of that version may be."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        yield Path(folder) / f"python{version}"
    root = Path(os.environ.get("PYENV_ROOT") or Path("~/.pyenv").expanduser())
    yield from sorted(root.glob(f"versions/{version}.*/bin/python"))


def version_of(path: Path) -> str:
    """What it says of itself; nothing if it does not run or cannot make an environment."""
    try:
        said = subprocess.run([path, "-c", ASK], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return said.stdout.strip()
