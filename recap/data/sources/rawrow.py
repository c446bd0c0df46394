"""The types RawRow (a row with its place) and Loader (raw rows -> prompt records).

A loader reads a local directory in the hub's schema (or the microworld) and never downloads. For an
invalid row it raises RowFault, which becomes a QuarantinedRow and not an error for the user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from recap.data.sources.checks import is_unicode
from recap.errors import DataError
from recap.params.world import World
from recap.types.prompts import PromptRecord, Split

OWN = "the project's own"
"""The licence of data that the project itself brings."""


class RowFault(Exception):
    """The reason why a raw row is refused; it never repeats the row's text."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as found: any JSON value, or the ``fault`` that prevented reading it.

    ``file`` starts with the loader's name instead of a local folder. ``line`` counts from 1 (in
    Parquet it counts rows through all shards). ``split`` is the loader's choice for the file.
    """

    file: str
    line: int
    split: Split
    values: object
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A loader's arguments; ``train_rows`` and ``eval_rows`` are per prompt set."""

    directory: Path | None
    world: World
    seed: int
    train_rows: int
    eval_rows: int


@dataclass(frozen=True, slots=True)
class Loader:
    """A source of prompts.

    ``record`` maps one readable row to a record, or to ``None`` if the row is not part of the
    prompt set (XSTest's unsafe contrasts); it raises RowFault. A row of an ``eval_only`` source is
    never a training row, whatever the parameters say. ``files``: patterns of the files that it
    reads, which are all that is fetched from a hub. ``licence``: as the data set's card states
    it, ``None`` if it states none. A ``templated`` source keeps its own splits apart: its prompts
    resemble one another by design.
    """

    name: str
    eval_only: bool
    rows: Callable[[Request], Iterator[RawRow]]
    record: Callable[[RawRow], PromptRecord | None]
    files: tuple[str, ...] = ()
    licence: str | None = None
    templated: bool = False


def data_directory(request: Request, loader: str) -> Path:
    """The directory to read; raises DataError when it does not exist."""
    if request.directory is None or not request.directory.is_dir():
        raise DataError(
            f"Expected a directory with the data of {loader}, got {request.directory}. Set "
            f"prepare.sources.{loader} to a local copy of the data set."
        )
    return request.directory


def fields(row: RawRow) -> Mapping[str, object]:
    """The row's columns; raises RowFault if the row is not an object."""
    if not isinstance(row.values, dict):
        raise RowFault(f"wrong type: expected an object, got {type(row.values).__name__}")
    return row.values


def text(values: Mapping[str, object], name: str) -> str:
    """A column that must hold text; raises RowFault."""
    if name not in values:
        raise RowFault(f"missing column: {name}")
    value = values[name]
    if not isinstance(value, str):
        raise RowFault(f"wrong type: {name} is {type(value).__name__}, not text")
    if not is_unicode(value):
        raise RowFault(f"{name}: not valid Unicode")
    return value


def plain_id(values: Mapping[str, object], column: str) -> str:
    """A column that names the row, as text or as a whole number; raises RowFault."""
    value = values.get(column)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return str(value)
    return text(values, column)
