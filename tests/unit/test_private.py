"""Folders with harmful text are closed to other users, and nothing else is."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from recap.runtime.private import FOLDERS, keep_private
from tests.integration.flow_project import ROOT, child_environment


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_all_folders_are_made_and_closed(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir(mode=0o755)
    (tmp_path / "data").mkdir(mode=0o755)
    (tmp_path / "data/eval.jsonl").write_text("kept")
    keep_private(tmp_path)
    keep_private(tmp_path)
    assert {name: mode(tmp_path / name) for name in FOLDERS} == dict.fromkeys(FOLDERS, 0o700)
    assert mode(tmp_path / ".dvc") == 0o755
    assert (tmp_path / "data/eval.jsonl").read_text() == "kept"


def test_a_link_and_a_missing_parent_stay_as_they_are(tmp_path: Path) -> None:
    shared, project = tmp_path / "shared", tmp_path / "project"
    shared.mkdir(mode=0o755)
    project.mkdir()
    (project / "data").symlink_to(shared)
    keep_private(project)
    assert mode(shared) == 0o755
    assert not (project / ".dvc").exists()


def test_a_folder_of_somebody_else_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir(mode=0o755)

    def refuse(self: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    keep_private(tmp_path)
    said = capsys.readouterr().err
    assert said == (
        f"{tmp_path}/data holds harmful text and others may read it: Operation not permitted. "
        f"Its owner can close it with `chmod 700 {tmp_path}/data`.\n"
    )


STAGE = """\
from pathlib import Path
from recap.runtime.stage import run_stage
def main() -> None:
    Path("data/prompts").mkdir()
run_stage(main)
"""


@pytest.mark.parametrize(("under_dvc", "expected"), [(True, 0o700), (False, 0o755)])
def test_a_stage_under_dvc_closes_them(tmp_path: Path, under_dvc: bool, expected: int) -> None:
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    (tmp_path / "dvc.yaml").write_text("stages: {own: {cmd: none}}\n")
    (tmp_path / "data").mkdir(mode=0o755)
    variables = {"DVC_STAGE": "own"} if under_dvc else {}
    subprocess.run(
        [sys.executable, "-c", STAGE],
        cwd=tmp_path,
        env=child_environment(tmp_path, PYTHONPATH=str(ROOT), **variables),
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert mode(tmp_path / "data") == expected
    assert (tmp_path / "data/prompts").is_dir()
