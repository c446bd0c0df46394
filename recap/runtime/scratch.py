"""The folder with the state from which a killed run resumes: its path, its name, its deletion.

The folder is not in a stage's outputs, which DVC deletes before a run. Its name is a hash of
everything that the result depends on: parameters, inputs, code, libraries. After a change a run
starts in a new folder. Leaves out the content of the folder.
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
"""Number of the cell's folders with other parameters or inputs that a finished run keeps.
Switching between two settings then loses nothing, and old states do not accumulate."""


def folder_of(root: Path, cell: str, run: Mapping[str, str]) -> Path:
    """The cell's folder for a run; ``run`` has all parameters and hashes of its result."""
    digest = hashlib.sha256(json.dumps(dict(run), sort_keys=True).encode()).hexdigest()
    return root / f"{cell}-{digest[:12]}"


def remove_finished(folder: Path, cell: str) -> None:
    """Delete a finished run's folder.

    Keeps the OTHERS_KEPT most recent unfinished runs of this cell with other parameters or
    inputs. The caller holds the cell's lock, so none of these runs is active.
    """
    shutil.rmtree(folder, ignore_errors=True)
    name = re.compile(re.escape(cell) + "-[0-9a-f]{12}")
    others = [path for path in folder.parent.iterdir() if name.fullmatch(path.name)]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[OTHERS_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


def directory_hash(directory: Path) -> str:
    """Hash of the files of a model directory; raises ModelError if there is none."""
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
    """Hash of the project's loaded modules; DVC runs the stage again if one of them changes.

    The result of a run that changes its code at a resume could not be reproduced.
    """
    digest = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        if name.startswith("recap.") and module.__file__:
            digest.update(name.encode() + b"\0" + Path(module.__file__).read_bytes())
    return digest.hexdigest()


def rows_hash(rows: Iterable[BaseModel]) -> str:
    """Hash of rows as they would be written."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.model_dump_json().encode() + b"\n")
    return digest.hexdigest()
