"""The lineage of a run's files: commit, ``dvc.lock``, and each stage's dependencies.

Read-only views for tracking and registry. No stage writes them into an output.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recap.errors import DataError
from recap.params.document import refuse_conflicts
from recap.params.whole import Params
from recap.runtime.locks import STATE

DATA_STAGES = ("prepare", "prefill")
"""Stages whose outputs are data for training and evaluation."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """``stages`` is the parsed lock: each stage's command, inputs, parameters and outputs."""

    commit: str
    lock: str
    stages: dict[str, Any]

    def tags(self, cell: str) -> dict[str, str]:
        """Commit, lock, and for each stage a digest of its command, inputs and outputs.

        For a stage with an entry for each cell, only the cell's entry counts, else all entries.
        """
        tags = {"git_commit": self.commit, "dvc_lock": self.lock}
        for name in sorted({address.split("@")[0] for address in self.stages}):
            own = self.stages.get(f"{name}@{cell}")
            members = {a: entry for a, entry in self.stages.items() if a.split("@")[0] == name}
            tags[f"stage.{name}"] = digest(own or members)
        return tags

    def data(self) -> dict[str, str]:
        """md5 of every data file, by path."""
        return {
            out["path"]: out["md5"]
            for name, entry in self.stages.items()
            if name.split("@")[0] in DATA_STAGES
            for out in entry.get("outs", [])
        }


def read_lineage(root: Path) -> Lineage:
    """The state of the clone in ``root``; raises DataError when the lock cannot be read."""
    refuse_conflicts(root)
    path = root / "dvc.lock"
    try:
        lock = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except yaml.YAMLError as error:
        raise DataError(f"Expected YAML in {path}, got: {error}. Restore it from git.") from None
    return Lineage(read_commit(root).name, digest(lock), (lock or {}).get("stages", {}))


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as text, by their dotted keys."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def trained_with(params: Params, variant: str) -> dict[str, str]:
    """A variant's training settings and world, flat."""
    sections: dict[str, Any] = {
        "seed": params.seed,
        "train": params.for_variant(variant).model_dump(mode="json"),
        "world": params.world.model_dump(mode="json"),
    }
    return dict(flat(sections))


def digest(value: Any) -> str:
    """A short stable digest of plain values, independent of their order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_md5(path: Path) -> str:
    """The digest that DVC records for a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@dataclass(frozen=True, slots=True)
class Commit:
    """HEAD, with ``-dirty`` if tracked files differ; without one, the reason and a fix."""

    name: str
    missing: str = ""


def read_commit(root: Path) -> Commit:
    """The commit of the clone in ``root``, or ``none`` with the reason."""
    try:
        # A project beside the clone is ignored by git: the commit is the clone's.
        beside = root.resolve().parent.name == STATE.name
        pipeline = ":/dvc.yaml" if beside else "dvc.yaml"
        tracked = _git(root, "ls-files", "--error-unmatch", pipeline)
        described = _git(root, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except OSError:
        return Commit("none", "git is not installed. Install it.")
    if tracked.returncode == described.returncode == 0:
        return Commit(described.stdout.strip())
    error = tracked.stderr + described.stderr
    if "dubious ownership" in error:
        reason = (
            "git does not read another user's clone. If you trust it: "
            f"`git config --global --add safe.directory {shlex.quote(str(root.resolve()))}`."
        )
    elif "not a git repository" in error:
        reason = "this folder is not a git clone. Work in a clone, so that results name their code."
    elif described.returncode != 0:
        reason = "nothing is committed yet. Commit, so that results name their code."
    else:
        reason = "dvc.yaml is not in git here. Commit the project's files."
    return Commit("none", reason)


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git with English messages."""
    return subprocess.run(
        ["git", *arguments],
        cwd=root,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
