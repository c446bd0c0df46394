"""Files in the hub's formats -> raw rows with line numbers; an unreadable line is a faulty row.

Reads JSON Lines, CSV and TSV with a header, a JSON array, and Parquet; text also as ``.gz`` and
``.xz``. Reading continues after a broken line. A truncated JSON array, Parquet or compressed file
raises DataError, because its remaining rows cannot be found and the data set would be silently
shorter.
"""

from __future__ import annotations

import csv
import gzip
import json
import lzma
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TextIO
from zlib import error as DeflateError

from recap.data.sources.rawrow import Loader, RawRow, Request, data_directory
from recap.errors import DataError, choices
from recap.types.prompts import PromptRecord, Split


def read_table(
    directory: Path, loader: str, patterns: Sequence[str], split: Split
) -> Iterator[RawRow]:
    """All rows of the files that match the first pattern with a match.

    Raises DataError if no pattern matches, or if a file cannot be read at all.
    """
    for pattern in patterns:
        paths = sorted(directory.glob(pattern))
        if paths:
            break
    else:
        raise DataError(
            f"Expected {choices(patterns)} in {directory} for the source {loader}, found none. "
            "Point prepare.sources at a local copy of the data set."
        )
    rows_before = 0
    for path in paths:
        label = f"{loader}/{path.relative_to(directory).as_posix()}"
        line = 0
        kind = path.with_suffix("") if path.suffix in _COMPRESSED else path
        for row in _READERS[kind.suffix](path, label, split):
            line = row.line + rows_before
            yield replace(row, line=line)
        rows_before = line


def table_loader(
    name: str,
    files: tuple[str, ...],
    split: Split,
    record: Callable[[RawRow], PromptRecord | None],
    licence: str | None = None,
) -> Loader:
    """The loader of a source that is one table, of one split; one of split eval only evaluates."""

    def rows(request: Request) -> Iterator[RawRow]:
        yield from read_table(data_directory(request, name), name, files, split)

    return Loader(name, split == "eval", rows, record, files, licence)


def _lines(path: Path) -> list[str]:
    """Physical lines. Bytes that are not UTF-8 become lone surrogates, which a check refuses."""
    opened = _COMPRESSED.get(path.suffix, open)
    try:
        with opened(
            path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="\n"
        ) as stream:
            return list(stream)
    except (gzip.BadGzipFile, EOFError, lzma.LZMAError, DeflateError) as error:
        raise DataError(
            f"{path}: expected a whole {path.suffix} file, got {type(error).__name__}. Fetch the "
            "file again."
        ) from None


def _jsonl(path: Path, label: str, split: Split) -> Iterator[RawRow]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            yield RawRow(label, number, split, None, "malformed JSON")
            continue
        yield RawRow(label, number, split, values)


def _json_array(path: Path, label: str, split: Split) -> Iterator[RawRow]:
    document = "".join(_lines(path))
    decoder = json.JSONDecoder()
    position, number = _skip(document, 0), 1

    def broken(expected: str) -> DataError:
        line = document.count("\n", 0, position) + 1
        return DataError(
            f"{path}:{line}: expected {expected}, got malformed JSON. Fetch the file again."
        )

    if document[position : position + 1] != "[":
        raise broken("a JSON array")
    counted, position = 0, _skip(document, position + 1)
    while document[position : position + 1] != "]":
        try:
            values, end = decoder.raw_decode(document, position)
        except (ValueError, RecursionError):
            raise broken("an object of the array") from None
        number += document.count("\n", counted, position)
        counted = position
        yield RawRow(label, number, split, values)
        position = _skip(document, end)
        if document[position : position + 1] == ",":
            position = _skip(document, position + 1)
        elif document[position : position + 1] != "]":
            raise broken("a comma or the end of the array")


def _skip(document: str, position: int) -> int:
    while position < len(document) and document[position] in " \t\r\n":
        position += 1
    return position


def _csv(path: Path, label: str, split: Split, delimiter: str = ",") -> Iterator[RawRow]:
    """Records of a CSV file; after a broken record, reading continues with the next line.

    A stray quote swallows the lines up to the next quote. Restarting after the line with the quote
    limits the loss to one row.
    """
    lines = _lines(path)
    header = next(csv.reader(lines[:1], delimiter=delimiter), [])
    start = 1
    while start < len(lines):
        reader = csv.reader(islice(lines, start, None), strict=True, delimiter=delimiter)
        first = start
        while first < len(lines):
            try:
                cells = next(reader)
            except csv.Error:
                cells = None
            if cells is None or len(cells) not in (0, len(header)):
                yield RawRow(label, first + 1, split, None, "malformed CSV")
                first += 1
                break
            if cells:
                yield RawRow(label, first + 1, split, dict(zip(header, cells, strict=True)))
            first = start + reader.line_num
        start = first


def _parquet(path: Path, label: str, split: Split) -> Iterator[RawRow]:
    import pyarrow  # type: ignore[import-untyped]  # it ships no types
    import pyarrow.parquet  # type: ignore[import-untyped]  # likewise

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(
            f"{path}: expected a Parquet file, got {type(error).__name__}. Fetch the file again."
        ) from None
    for number, values in enumerate(rows, start=1):
        yield RawRow(label, number, split, values)


_READERS: dict[str, Callable[[Path, str, Split], Iterator[RawRow]]] = {
    ".jsonl": _jsonl,
    ".json": _json_array,
    ".csv": _csv,
    ".tsv": partial(_csv, delimiter="\t"),
    ".parquet": _parquet,
}
_COMPRESSED: dict[str, Callable[..., TextIO]] = {".gz": gzip.open, ".xz": lzma.open}
