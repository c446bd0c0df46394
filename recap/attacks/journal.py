"""The journal from which a killed attack stage continues: one line per finished block.

A line is written and flushed to disk when its block is finished. A torn line is dropped, with all
lines after it. Blocks are independent (``conversations.py``), so a continued run ends with the same
bytes as an uninterrupted one.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from recap.rows import atomic_path
from recap.runtime.locks import exclusive
from recap.runtime.scratch import folder_of, remove_finished
from recap.types.attacks import Completion
from recap.types.row import Row

MANIFEST, BLOCKS = "manifest.json", "blocks.jsonl"


class Entry(Row):
    """One line: all completions of a block."""

    block: str
    completions: list[Completion]


class Journal:
    """The blocks of one run, in a folder."""

    def __init__(self, folder: Path, run: Mapping[str, str]) -> None:
        """``run``: everything the result depends on; a folder of another run is emptied."""
        manifest = json.dumps(dict(run), indent=1, sort_keys=True)
        file = folder / MANIFEST
        if not file.is_file() or file.read_text(encoding="utf-8") != manifest:
            shutil.rmtree(folder, ignore_errors=True)
            with atomic_path(file) as part:
                part.write_text(manifest, encoding="utf-8")
        self._path = folder / BLOCKS
        self._made = self._read()

    def __len__(self) -> int:
        return len(self._made)

    def find(self, block: str) -> list[Completion] | None:
        """The block's completions, or ``None`` if the block was not finished."""
        return self._made.get(block)

    def add(self, block: str, completions: list[Completion]) -> None:
        """Write a finished block to disk."""
        line = Entry(block=block, completions=completions).model_dump_json() + "\n"
        with self._path.open("ab") as stream:
            stream.write(line.encode())
            stream.flush()
            os.fsync(stream.fileno())

    def _read(self) -> dict[str, list[Completion]]:
        """All complete lines; cuts the file after the last of them."""
        if not self._path.exists():
            return {}
        made: dict[str, list[Completion]] = {}
        sound = 0
        with self._path.open("rb") as stream:
            for line in stream:
                try:
                    entry = Entry.model_validate_json(line)
                except ValidationError:
                    break
                if not line.endswith(b"\n"):
                    break
                made[entry.block] = entry.completions
                sound += len(line)
        os.truncate(self._path, sound)
        return made


@contextmanager
def journal_of(root: Path, cell: str, run: Mapping[str, str]) -> Iterator[Journal]:
    """The cell's journal under ``root``, deleted when the work succeeds.

    After an error the journal stays. Raises BusyError if another process attacks the same cell.
    """
    busy = (
        f"Expected to be the only one to attack {cell}, but process {{pid}} attacks it too. "
        "Wait for it, or end it."
    )
    with exclusive(root / f"{cell}.lock", busy=busy):
        folder = folder_of(root, cell, run)
        journal = Journal(folder, run)
        if len(journal):
            print(f"continuing after {len(journal)} finished blocks", file=sys.stderr)
        yield journal
        remove_finished(folder, cell)
