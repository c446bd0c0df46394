"""Typed row files (JSON Lines): atomic write, line number in every error, plain JSON beside them.

Nothing half-written is ever visible: a file is written aside, flushed to disk and renamed. Leaves
out append journals, which belong to whoever can resume.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from recap.errors import DataError, SpaceError

RowT = TypeVar("RowT", bound=BaseModel)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it on success and vanishes on failure.

    Raises SpaceError when the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise SpaceError(
                f"The disk is full: {path} could not be written and was left as it was. "
                "Free some space and run again."
            ) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def write_rows(path: Path, rows: Iterable[BaseModel]) -> int:
    """Write one JSON object a line, atomically; returns the number of rows."""
    count = 0
    with atomic_path(path) as part, part.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(row.model_dump_json() + "\n")
            count += 1
    return count


def read_rows(path: Path, row_type: type[RowT]) -> list[RowT]:
    """Read a file written by ``write_rows``.

    Raises DataError with file, line number and the offending field.
    """
    if not path.is_file():
        raise DataError(f"Expected the row file {path}, found none. Run the stage that makes it.")
    rows = []
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                rows.append(row_type.model_validate_json(line))
            except ValidationError as error:
                first = error.errors(include_input=False, include_url=False)[0]
                where = ".".join(map(str, first["loc"])) or "the line"
                raise DataError(
                    f"{path}:{number}: expected a {row_type.__name__}, but {where}: "
                    f"{first['msg']}. Make the file again with its stage."
                ) from None
    return rows


def count_lines(path: Path) -> int:
    """The number of rows in a row file; raises DataError when it is missing."""
    if not path.is_file():
        raise DataError(f"Expected the row file {path}, found none. Run the stage that makes it.")
    with path.open("rb") as stream:
        return sum(1 for _ in stream)


def write_json(path: Path, value: Any) -> None:
    """Write sorted, indented JSON (a pydantic model or plain values), atomically."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    with atomic_path(path) as part:
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path, model: type[RowT]) -> RowT:
    """Read one JSON document as ``model``; raises DataError when it is missing or does not fit."""
    if not path.is_file():
        raise DataError(f"Expected the file {path}, found none. Run the stage that makes it.")
    try:
        return model.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise DataError(
            f"{path}: expected a {model.__name__}, but {'.'.join(map(str, first['loc']))}: "
            f"{first['msg']}. Make the file again with its stage."
        ) from None
