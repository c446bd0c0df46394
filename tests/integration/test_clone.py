"""``flows.clone``, the nightly run's first step: the branch's newest commit, or the reason."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from recap.runtime.locks import sole_run
from tests.integration.flow_project import call, commit, git


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose origin is one commit ahead."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    git(origin, "init", "-q")
    write(origin, "params.yaml", "seed: 1\n")
    git(tmp_path, "clone", "-q", str(origin), str(clone))
    write(origin, "params.yaml", "seed: 2\n")
    return clone


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    commit(folder, f"write {name}")


def pull(clone: Path) -> subprocess.CompletedProcess[str]:
    return call(clone, "-m", "flows.clone")


def test_it_follows_its_branch(clone: Path) -> None:
    (clone / "notes.txt").write_text("nobody tracks me\n")
    done = pull(clone)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" write params.yaml\n")
    assert (clone / "params.yaml").read_text() == "seed: 2\n"


def test_changes_are_named_and_kept(clone: Path) -> None:
    (clone / "params.yaml").write_text("seed: 7\n")
    done = pull(clone)
    assert done.returncode == 2
    assert f"PipelineError: Expected {clone} without changes" in done.stderr
    assert " M params.yaml\nCommit or `git restore` them." in done.stderr
    assert (clone / "params.yaml").read_text() == "seed: 7\n"


def test_a_branch_that_went_its_own_way_is_not_merged(clone: Path) -> None:
    write(clone, "own.txt", "mine\n")
    done = pull(clone)
    assert done.returncode == 2
    assert "PipelineError: Expected `git pull --ff-only --quiet` to succeed" in done.stderr
    assert (clone / "params.yaml").read_text() == "seed: 1\n"


def test_a_run_keeps_its_code(clone: Path) -> None:
    with sole_run(clone):
        done = pull(clone)
    assert done.returncode == 75
    assert "BusyError: Expected no other run in this clone" in done.stderr
    assert (clone / "params.yaml").read_text() == "seed: 1\n"
