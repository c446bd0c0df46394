"""Model directories and snapshots on disk: in place whole or not at all, read back by update."""

from __future__ import annotations

from pathlib import Path

import pytest

from recap.errors import ModelError
from recap.models.weights import copy_snapshots, snapshot_directory, snapshots


def _snapshot(folder: Path, update: int) -> Path:
    path = snapshot_directory(folder, update)
    path.mkdir(parents=True)
    (path / "model.safetensors").write_text(f"weights {update}")
    return path


def test_snapshots_by_update(tmp_path: Path) -> None:
    made = {update: _snapshot(tmp_path, update) for update in (100, 20, 3)}
    (tmp_path / ".update-000040.x7").mkdir()  # its writer was killed
    assert list(snapshots(tmp_path).items()) == [(3, made[3]), (20, made[20]), (100, made[100])]
    assert made[20].name == "update-000020"


def test_no_folder_is_an_error_and_an_empty_one_is_not(tmp_path: Path) -> None:
    assert snapshots(tmp_path) == {}
    with pytest.raises(ModelError, match=r"folder of snapshots at .*nowhere, found none"):
        snapshots(tmp_path / "nowhere")


def test_copied_snapshots_replace_all_that_was_there(tmp_path: Path) -> None:
    _snapshot(tmp_path / "scratch", 20)
    (tmp_path / "scratch/.update-000040.x7").mkdir()
    _snapshot(tmp_path / "out", 5)
    copy_snapshots(tmp_path / "scratch", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["update-000020"]
    assert (tmp_path / "out/update-000020/model.safetensors").read_text() == "weights 20"
    copy_snapshots(tmp_path / "never", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
