"""Row files: what is written is read back, errors name the line, nothing half-written stays."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.errors import DataError, SpaceError
from recap.rows import (
    RowFile,
    atomic_directory,
    atomic_path,
    count_lines,
    iter_rows,
    read_json,
    read_rows,
    write_json,
    write_rows,
)
from recap.types.decisions import GateCheck
from recap.types.prompts import QuarantinedRow


@given(
    st.lists(
        st.builds(
            QuarantinedRow,
            file=st.text(),
            line=st.integers(0, 10**9),
            id=st.none() | st.text(),
            reason=st.text(),
        ),
        max_size=8,
    )
)
def test_rows_survive_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory, rows: list[QuarantinedRow]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    assert write_rows(path, rows) == len(rows)
    assert read_rows(path, QuarantinedRow) == rows


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"file": "a", "line": "7", "id": null, "reason": "x"}', r"rows\.jsonl:2: .* line: "),
        ('{"file": "a", "line": 7, "id": null}', r"rows\.jsonl:2: .* reason: Field required"),
        ('{"file": "a", "line": 7, "id": null, "reason": "x", "b": 1}', r":2: .* b: Extra"),
        ("not json", r"rows\.jsonl:2: .*Invalid JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"file": "a", "line": 1, "id": null, "reason": "x"}\n' + line + "\n")
    with pytest.raises(DataError, match=message):
        read_rows(path, QuarantinedRow)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Expected the row file .*none\.jsonl, found none"):
        read_rows(tmp_path / "none.jsonl", QuarantinedRow)
    with pytest.raises(DataError, match=r"Expected the file .*none\.json, found none"):
        read_json(tmp_path / "none.json", GateCheck)


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"b": 1, "a": None})
    assert path.read_text() == '{\n "a": null,\n "b": 1\n}\n'
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(RuntimeError), atomic_path(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text().startswith('{\n "a": null')
    assert [file.name for file in tmp_path.iterdir()] == ["value.json"]


def test_a_full_disk_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="The disk is full"), atomic_path(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("umask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)]
)
def test_modes_are_the_umasks(tmp_path: Path, umask: int, file_mode: int, folder_mode: int) -> None:
    before = os.umask(umask)
    try:
        write_json(tmp_path / "value.json", 1)
        with atomic_directory(tmp_path / "model") as part:
            part.chmod(0o711)
            (part / "deep").mkdir()
            for name in ("weights", "deep/config"):
                (part / name).touch(mode=0o600)
    finally:
        os.umask(before)
    paths = ["value.json", "model", "model/weights", "model/deep/config"]
    modes = [(tmp_path / path).stat().st_mode & 0o777 for path in paths]
    assert modes == [file_mode, folder_mode, file_mode, file_mode]


def test_a_folder_is_whole_or_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    killed = tmp_path / ".model.part"  # what a killed writer leaves
    killed.mkdir()
    (killed / "half").touch()
    with atomic_directory(folder) as part:
        (part / "old").touch()
        assert not folder.exists()
    assert [path.name for path in folder.iterdir()] == ["old"]
    with pytest.raises(SpaceError, match="model could not be written"), atomic_directory(folder):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
    assert [path.name for path in folder.iterdir()] == ["old"]
    with atomic_directory(folder) as part:
        (part / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(("text", "count"), [("", 0), ("{}\n", 1), ("{}\n{}\n", 2)])
def test_count_lines(tmp_path: Path, text: str, count: int) -> None:
    (tmp_path / "rows.jsonl").write_text(text)
    assert count_lines(tmp_path / "rows.jsonl") == count
    with pytest.raises(DataError, match=r"Expected the row file .*none\.jsonl"):
        count_lines(tmp_path / "none.jsonl")


def test_rows_come_one_at_a_time_and_again(tmp_path: Path) -> None:
    """Good lines are there before a bad one is met; a row file starts anew each time."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"file": "a", "line": 1, "id": null, "reason": "x"}\nbad\n')
    stream = iter_rows(path, QuarantinedRow)
    assert next(stream).line == 1
    with pytest.raises(DataError, match=r"rows\.jsonl:2: "):
        next(stream)
    write_rows(path, [QuarantinedRow(file="a", line=n, id=None, reason="x") for n in (1, 2)])
    rows = RowFile(path, QuarantinedRow)
    assert [row.line for row in rows] == [1, 2] == [row.line for row in rows]
    with pytest.raises(DataError, match="found none"):
        list(RowFile(tmp_path / "none.jsonl", QuarantinedRow))
