"""Reads a user's CSV or JSON Lines file as rows with line numbers, and refuses malformed files.

Columns may have any order, and the file may have others. Leaves out encodings other than UTF-8
(with or without a byte order mark) and delimiters other than the comma.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from recap.errors import DataError

csv.field_size_limit(sys.maxsize)  # a completion may be longer than csv's 128 KiB


ALSO = {"completion": "response"}
"""Another name of a needed column; a column of the needed name comes first."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row; ``line`` is where it begins, counted from 1. Empty and null values are ``None``."""

    line: int
    values: dict[str, str | None]


def read_table(path: Path, needed: Sequence[str]) -> list[TableRow]:
    """All rows of a file; raises DataError with file, line, what was expected and what is there."""
    text = _text(path)
    read = _json_rows if _is_json(path, text) else _csv_rows
    rows = list(read(path, text, needed))
    if not rows:
        raise DataError(f"{path} has no rows. Expected at least one to judge.")
    return rows


def _check_columns(path: Path, line: int, there: Iterable[str], needed: Sequence[str]) -> None:
    there = list(there)
    missing = [name for name in needed if name not in there]
    if missing:
        expected = f"the columns {', '.join(needed)}"
        got = f"{', '.join(there) or 'none'}; missing: {', '.join(missing)}"
        _refuse(path, line, expected, got, "Rename or add them")


def _needed_names(there: Iterable[str]) -> Iterator[str]:
    """The column names, where one has another name than the needed one by that."""
    there = list(there)
    renamed = {other: name for name, other in ALSO.items() if name not in there}
    return (renamed.get(name, name) for name in there)


def _text(path: Path) -> str:
    if path.is_dir():
        raise DataError(f"Expected a CSV or JSON Lines file, got the folder {path}. Name a file.")
    if not path.is_file():
        raise DataError(f"Expected the file {path}, found none. Check the path.")
    try:
        raw = path.read_bytes()
    except PermissionError:
        raise DataError(f"{path} may not be read. Check its permissions.") from None
    if not raw.strip():
        raise DataError(f"{path} is empty. Expected columns `prompt` and `completion`.")
    if b"\0" in raw:
        line = raw[: raw.index(b"\0")].count(b"\n") + 1
        _refuse(path, line, "text", "a NUL byte", "Remove it, or save the file as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        _refuse(path, line, "UTF-8", f"the byte 0x{raw[error.start]:02x}", "Save it as UTF-8")


def _is_json(path: Path, text: str) -> bool:
    """Decides by suffix; for an unknown suffix by the first character, which is a brace in JSON."""
    if path.suffix in (".csv", ".jsonl", ".ndjson"):
        return path.suffix != ".csv"
    return text.lstrip().startswith("{")


def _csv_rows(path: Path, text: str, needed: Sequence[str]) -> Iterator[TableRow]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for fields in reader:
            begun, line = line, reader.line_num + 1
            if not fields:
                continue
            if header is None:
                header = [name.strip() for name in fields]
                _check_header(path, begun, header)
                header = list(_needed_names(header))
                _check_columns(path, begun, header, needed)
            elif len(fields) != len(header):
                expected = f"{len(header)} fields, as in the header"
                _refuse(path, begun, expected, str(len(fields)), "Quote fields that have commas")
            else:
                yield TableRow(begun, dict(zip(header, map(_value, fields), strict=True)))
    except csv.Error as error:
        _refuse(path, line, "CSV", str(error), "Close and double the quotes of its fields")


def _check_header(path: Path, line: int, header: Sequence[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        names = ", ".join(name or "(no name)" for name in twice)
        _refuse(path, line, "each column once", f"{names} more than once", "Rename one")


def _json_rows(path: Path, text: str, needed: Sequence[str]) -> Iterator[TableRow]:
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            value = json.loads(content, object_pairs_hook=_unique)
        except json.JSONDecodeError as error:
            fault = f"{error.msg} at character {error.pos + 1}"
            _refuse(path, line, "one JSON object", fault, "Write one object a line")
        except (ValueError, RecursionError) as error:
            _refuse(path, line, "one JSON object", str(error), "Write one object a line")
        if not isinstance(value, dict):
            _refuse(path, line, "one JSON object", type(value).__name__, "Write one object a line")
        values = {}
        for name, entry in zip(_needed_names(value), value.values(), strict=True):
            if not isinstance(entry, (dict, list)):  # a column of another tool may have any type
                values[name] = _value(entry)
            elif name in needed:
                _refuse(path, line, f"text in `{name}`", type(entry).__name__, "Write its text")
        _check_columns(path, line, values, needed)
        yield TableRow(line, values)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"the key {', '.join(twice)} more than once")
    return dict(pairs)


def _value(entry: Any) -> str | None:
    """The text, with lone surrogates replaced: JSON can write them, UTF-8 cannot."""
    if entry is None:
        return None
    text = entry if isinstance(entry, str) else json.dumps(entry)
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text if text.strip() else None


def _refuse(path: Path, line: int, expected: str, got: str, mend: str) -> NoReturn:
    raise DataError(f"{path}:{line}: expected {expected}, got {got}. {mend}.")
