"""State that a killed run goes on from: where it lies, what it is named by, when it goes.

It stands outside a stage's outputs, which DVC deletes before a run, in a folder named by the hash
of all that the result depends on: parameters, inputs, programs, libraries. Changed ones start
afresh beside it. Leaves out what is in the folder.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel

from recap.errors import ModelError

OTHERS_KEPT = 1
"""Folders of the same cell with other parameters or inputs that outlive a finished run: going to
and fro between two settings loses nothing, and old states do not pile up."""


def folder_of(root: Path, cell: str, run: Mapping[str, str]) -> Path:
    """The cell's folder for a run; ``run`` has every parameter and hash that its result is of."""
    digest = hashlib.sha256(json.dumps(dict(run), sort_keys=True).encode()).hexdigest()
    return root / f"{cell}-{digest[:12]}"


def remove_finished(folder: Path, cell: str) -> None:
    """Delete a finished run's folder.

    Of this cell's runs with other parameters or inputs, which were never finished, the
    OTHERS_KEPT touched last stay. Call it with the cell's lock held: none of them runs then.
    """
    shutil.rmtree(folder, ignore_errors=True)
    name = re.compile(re.escape(cell) + "-[0-9a-f]{12}")
    others = [path for path in folder.parent.iterdir() if name.fullmatch(path.name)]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[OTHERS_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


def directory_hash(directory: Path) -> str:
    """Of the files of a model directory; raises ModelError when there is none."""
    if not directory.is_dir():
        raise ModelError(
            f"Expected a model directory at {directory}, found none. "
            "Run the stage that makes it, or correct the path."
        )
    digest = hashlib.sha256()
    for path in sorted(p for p in directory.iterdir() if p.is_file()):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def code_hash() -> str:
    """Of the modules of ours that are loaded: DVC runs the stage anew when one of them changes.

    A result of two programs, one before and one after a resume, could never be made again.
    """
    digest = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        if name.startswith("recap.") and module.__file__:
            digest.update(name.encode() + b"\0" + Path(module.__file__).read_bytes())
    return digest.hexdigest()


def rows_hash(rows: Iterable[BaseModel]) -> str:
    """Of rows as they would be written."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.model_dump_json().encode() + b"\n")
    return digest.hexdigest()
