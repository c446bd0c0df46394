"""Lineage: equal locks have equal digests whatever their order; a manifest is its content."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from recap.errors import DataError, ModelError
from recap.params.whole import read_params
from recap.pipeline.lock import digest, read_commit, read_lineage
from recap.tracking.licences import licence_tags
from recap.tracking.manifest import Manifest, build_manifest
from recap.types.decisions import GateDecision
from recap.types.origins import Provenance
from recap.types.results import CellResult
from tests.parameters import write_params

LOCK = """\
schema: '2.0'
stages:
  prepare:
    cmd: prepare
    outs:
    - {path: data/prompts/eval.jsonl, md5: abc}
  train@recap-0: {cmd: train recap}
  train@dapo-0: {cmd: train dapo}
"""


def test_a_lock_is_read_as_yaml(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(LOCK)
    first = read_lineage(tmp_path)
    head, _, tail = LOCK.partition("  prepare:")
    entry, _, rest = tail.partition("  train@recap-0")
    (tmp_path / "dvc.lock").write_text(f"{head}  train@recap-0{rest}  prepare:{entry}")
    second = read_lineage(tmp_path)
    assert (first.lock, first.stages) == (second.lock, second.stages)
    assert first.commit == "none"
    assert first.data() == {"data/prompts/eval.jsonl": "abc"}


def test_tags_of_a_cell_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(LOCK)
    lineage = read_lineage(tmp_path)
    recap, dapo = lineage.tags("recap-0"), lineage.tags("dapo-0")
    assert recap.keys() == {"git_commit", "dvc_lock", "stage.prepare", "stage.train"}
    assert recap["stage.prepare"] == dapo["stage.prepare"]
    assert recap["stage.train"] == digest({"cmd": "train recap"}) != dapo["stage.train"]


def test_licences_of_data_and_of_models_that_were_not_made_here(tmp_path: Path) -> None:
    write_params(
        tmp_path, {"prepare.sources": {"beavertails": "d", "aime2024": "d", "benign": "d"}}
    )
    for place, licence in {"policy": "mit", "guardian/rubric": None}.items():
        (tmp_path / "models" / place).mkdir(parents=True)
        record = Provenance(origin="o", revision="r", licence=licence, files=())
        (tmp_path / f"models/{place}/origin.json").write_text(record.model_dump_json())
    assert licence_tags(tmp_path, read_params(tmp_path / "params.yaml")) == {
        "licence.data.aime2024": "none stated",
        "licence.data.beavertails": "CC-BY-NC-4.0",
        "licence.data.benign": "the project's own",
        "licence.model.policy": "mit",
        "licence.model.rubric": "none stated",
    }


def test_a_broken_lock_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("stages: [")
    with pytest.raises(DataError, match="Restore it from git"):
        read_lineage(tmp_path)


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    ran = ["git", *who, *arguments]
    return subprocess.run(ran, cwd=folder, check=True, capture_output=True, text=True).stdout


def committed(folder: Path) -> str:
    """A repository with a dvc.yaml in its first commit, which is returned."""
    folder.mkdir(exist_ok=True)
    (folder / "dvc.yaml").write_text("stages: {}\n")
    git(folder, "init", "-q")
    git(folder, "add", "dvc.yaml")
    git(folder, "commit", "-qm", "start")
    return git(folder, "rev-parse", "HEAD").strip()


def test_a_commit_is_read_and_says_whether_files_differ(tmp_path: Path) -> None:
    head = committed(tmp_path)
    assert (read_commit(tmp_path).name, read_commit(tmp_path).missing) == (head, "")
    (tmp_path / "dvc.yaml").write_text("stages: {one: {}}\n")
    assert read_commit(tmp_path).name == f"{head}-dirty"


def test_a_worktree_a_shallow_clone_and_a_link_are_clones(tmp_path: Path) -> None:
    head = committed(tmp_path / "origin")
    git(tmp_path / "origin", "worktree", "add", "-q", "-b", "other", str(tmp_path / "a tree"))
    git(tmp_path, "clone", "-q", "--depth=1", (tmp_path / "origin").as_uri(), "shallow")
    (tmp_path / "link").symlink_to(tmp_path / "shallow")
    names = [read_commit(tmp_path / name).name for name in ("a tree", "shallow", "link")]
    assert names == [head, head, head]


def test_a_folder_without_git_says_so(tmp_path: Path) -> None:
    commit = read_commit(tmp_path)
    assert commit.name == "none" and "this folder is not a git clone" in commit.missing


def test_a_repository_without_a_commit_says_so(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    commit = read_commit(tmp_path)
    assert commit.name == "none" and "nothing is committed yet" in commit.missing


def test_the_repository_around_a_folder_is_not_its_commit(tmp_path: Path) -> None:
    """The project unpacked inside somebody's repository: that one's HEAD says nothing of it."""
    committed(tmp_path)
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "unpacked/dvc.yaml").write_text("stages: {}\n")
    commit = read_commit(tmp_path / "unpacked")
    assert commit.name == "none" and "dvc.yaml is not in git here" in commit.missing


def test_a_clone_of_another_user_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(tmp_path / "a clone")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    commit = read_commit(tmp_path / "a clone")
    assert commit.name == "none"
    assert f"`git config --global --add safe.directory '{tmp_path}/a clone'`" in commit.missing


def test_without_git_on_the_machine_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    commit = read_commit(tmp_path)
    assert commit.name == "none" and "git is not installed" in commit.missing


def test_a_manifest_is_a_function_of_content(tmp_path: Path) -> None:
    def manifest(folder: str, weights: bytes, passed: bool = True) -> Manifest:
        policy = tmp_path / folder
        policy.mkdir(exist_ok=True)
        (policy / "model.safetensors").write_bytes(weights)
        (policy / "config.json").write_text("{}")
        return build_manifest(
            "recap-policy",
            "recap-0",
            policy=policy,
            decision=GateDecision(candidate="recap", baseline="dapo", passed=passed, checks=[]),
            result=CellResult(variant="recap", seed=0, results=[]),
            inputs={"config": policy / "config.json"},
            evidence=policy / "config.json",
        )

    one = manifest("a", b"weights")
    assert one == manifest("b", b"weights")
    assert [(file.path, file.size) for file in one.files] == [
        ("config.json", 2),
        ("model.safetensors", 7),
    ]
    assert one.files[1].md5 == hashlib.md5(b"weights").hexdigest()
    assert one.lineage == {"config": hashlib.md5(b"{}").hexdigest()}
    others = {manifest("c", b"weightz").fingerprint, manifest("d", b"weights", False).fingerprint}
    assert len(others | {one.fingerprint}) == 3


def test_a_manifest_needs_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Expected safetensors weights"):
        build_manifest(
            "recap-policy",
            "recap-0",
            policy=tmp_path,
            decision=GateDecision(candidate="recap", baseline="dapo", passed=True, checks=[]),
            result=CellResult(variant="recap", seed=0, results=[]),
            evidence=tmp_path / "evidence.json",
            inputs={},
        )
