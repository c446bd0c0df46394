"""Typed row files (JSON Lines) and JSON documents: atomic writes, line numbers in errors.

A partly written file is never visible. A file or folder is written to ``.<name>….part`` (which DVC
ignores), flushed to disk and renamed. It gets the mode of the umask. Leaves out append-only
journals, which the stages that resume have themselves.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from recap.errors import DataError, SpaceError

RowT = TypeVar("RowT", bound=BaseModel)
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk or a full quota."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; it replaces ``path`` on success and is deleted on failure.

    Raises SpaceError when the disk is full.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with _room_for(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.touch(exist_ok=False)
            yield part
            _flush(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """A new folder beside ``path``; it replaces ``path`` on success and is deleted on failure.

    ``path`` has one writer at a time, so the leftovers of a killed one are deleted. Raises
    SpaceError if the disk is full.
    """
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with _room_for(path):
        try:
            part.mkdir(parents=True)
            mode = part.stat().st_mode
            yield part
            part.chmod(mode)
            for file in part.rglob("*"):
                if file.is_file():
                    file.chmod(mode & 0o666)  # safetensors creates files with mode 0600
                    _flush(file)
            if path.exists():
                shutil.rmtree(path)
            part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _room_for(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise SpaceError(
            f"The disk is full: {path} could not be written and was left as it was. "
            "Free some space and run again."
        ) from error


def _flush(path: Path) -> None:
    """Flush a file's content to disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def write_rows(path: Path, rows: Iterable[BaseModel]) -> int:
    """Write one JSON object a line, atomically; returns the number of rows."""
    count = 0
    with atomic_path(path) as part, part.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(row.model_dump_json() + "\n")
            count += 1
    return count


def iter_rows(path: Path, row_type: type[RowT]) -> Iterator[RowT]:
    """The rows of a file written by ``write_rows``, one at a time, with memory for one row.

    Raises DataError with file, line number and the offending field.
    """
    if not path.is_file():
        raise DataError(f"Expected the row file {path}, found none. Run the stage that makes it.")
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield row_type.model_validate_json(line)
            except ValidationError as error:
                first = error.errors(include_input=False, include_url=False)[0]
                where = ".".join(map(str, first["loc"])) or "the line"
                raise DataError(
                    f"{path}:{number}: expected a {row_type.__name__}, but {where}: "
                    f"{first['msg']}. Make the file again with its stage."
                ) from None


def read_rows(path: Path, row_type: type[RowT]) -> list[RowT]:
    """All rows of a file at once; raises as ``iter_rows`` does."""
    return list(iter_rows(path, row_type))


@dataclass(frozen=True, slots=True)
class RowFile(Generic[RowT]):
    """A row file that can be read repeatedly and is never in memory as a whole."""

    path: Path
    row_type: type[RowT]

    def __iter__(self) -> Iterator[RowT]:
        """Read the file from the start; raises as ``iter_rows`` does."""
        return iter_rows(self.path, self.row_type)


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
