"""The sha256 of large files, read once: a file with the same size and times is not read again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from recap.rows import write_json
from recap.runtime.locks import STATE, exclusive

MEMORY = STATE / "origins" / "digests.json"
"""Path -> size, time of change in nanoseconds, inode, sha256."""


def sha256_of(path: Path, root: Path) -> str:
    """The file's sha256; what was read of it before is remembered in the clone ``root``."""
    return sha256_of_all([path], root)[path]


def sha256_of_all(paths: Iterable[Path], root: Path) -> dict[Path, str]:
    """The sha256 of each file, as ``sha256_of``; the memory is read and written once."""
    memory = root / MEMORY
    known, fresh = _remembered(memory), {}
    found = {}
    for path in paths:
        place, state = str(path.resolve()), _state(path)
        before = known.get(place)
        if before is not None and before[:-1] == state:
            found[path] = str(before[-1])
            continue
        with path.open("rb") as stream:
            found[path] = hashlib.file_digest(stream, "sha256").hexdigest()
        fresh[place] = [*state, found[path]]
    if fresh:
        with exclusive(memory.with_suffix(".lock")):
            write_json(memory, {**_remembered(memory), **fresh})
    return found


def folder_digest(files: Mapping[str, str]) -> str:
    """One digest of files, given each one's own by its name."""
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def _remembered(memory: Path) -> dict[str, list[int | str]]:
    if not memory.is_file():
        return {}
    found: dict[str, list[int | str]] = json.loads(memory.read_text(encoding="utf-8"))
    return found
