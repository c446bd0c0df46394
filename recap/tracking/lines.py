"""A file of rows that only grows, on the disk before anybody goes on; one writer at a time.

A last line that a killed process left without its end was never agreed on: it is taken away.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from recap.rows import read_rows
from recap.types.row import Row

Kind = TypeVar("Kind", bound=Row)


def append_line(path: Path, row: Row) -> None:
    """Add a row; it is on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _cut(path)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(row.model_dump_json() + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_lines(path: Path, kind: type[Kind]) -> list[Kind]:
    """All rows, none without a file; raises DataError at one that does not fit."""
    if not path.is_file():
        return []
    _cut(path)
    return read_rows(path, kind)


def _cut(path: Path) -> None:
    """Take away a line that has no end."""
    if not path.is_file():
        return
    text = path.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        os.truncate(path, whole)
