"""The file of the registry's history: append only, whole lines, a line for each store."""

from __future__ import annotations

from pathlib import Path

import pytest

from recap.errors import DataError
from recap.tracking.history import RECORDS, History, Move


def move(at: str, version: str = "1") -> Move:
    return Move(action="promote", version=version, previous=None, at=at)


def test_what_is_appended_stays_and_a_line_without_its_end_goes(tmp_path: Path) -> None:
    history, path = History(tmp_path, "m", "local"), tmp_path / RECORDS / "m.jsonl"
    assert history.moves() == []
    history.append(move("1"))
    first = path.read_bytes()
    path.write_bytes(first + b'{"store": "local", "mo')  # a process was killed here
    assert history.moves() == [move("1")]
    path.write_bytes(first + b'{"store": "local", "mo')
    history.append(move("2", "3"))
    assert path.read_bytes().startswith(first)
    assert history.moves() == [move("1"), move("2", "3")]


def test_each_store_has_lines_of_its_own(tmp_path: Path) -> None:
    History(tmp_path, "m", "local").append(move("1"))
    History(tmp_path, "m", "http://server").append(move("2"))
    assert History(tmp_path, "m", "local").moves() == [move("1")]
    assert History(tmp_path, "m", "http://server").moves() == [move("2")]


def test_a_line_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = tmp_path / RECORDS / "m.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"store": "local"}\n')
    with pytest.raises(DataError, match=r"m\.jsonl:1: expected a Entry, but move"):
        History(tmp_path, "m", "local").moves()


def test_a_version_whose_files_are_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"m/abc/evidence\.json of a version in the history, found"):
        History(tmp_path, "m", "local").kept("abc")
