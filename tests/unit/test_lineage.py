"""Lineage: equal locks have equal digests whatever their order; a manifest is its content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from recap.errors import DataError, ModelError
from recap.lineage import digest, read_lineage
from recap.manifest import Manifest, build_manifest
from recap.types import CellResult, GateDecision

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


def test_a_broken_lock_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("stages: [")
    with pytest.raises(DataError, match="Restore it from git"):
        read_lineage(tmp_path)


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
            inputs={},
        )
