"""Where the files of a run come from: commit, ``dvc.lock``, what each stage depended on.

Read-only views for tracking and registry. None of it stands in an output of a stage.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recap.errors import DataError
from recap.params import Params
from recap.params.document import refuse_conflicts

DATA_STAGES = ("prepare", "prefill")
"""Stages whose outputs are data that training and evaluation see."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """``stages`` is the parsed lock: each stage's command, inputs, parameters and outputs."""

    commit: str
    lock: str
    stages: dict[str, Any]

    def tags(self, cell: str) -> dict[str, str]:
        """Commit, lock, and for each stage a digest of its command, inputs and outputs.

        Of a stage that exists once for each cell it is the cell's own entry, else all of them.
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
    return Lineage(_commit(root), digest(lock), (lock or {}).get("stages", {}))


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as text, by their dotted keys."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def trained_with(params: Params, variant: str) -> dict[str, str]:
    """What a variant trains with and in which world, flat."""
    sections: dict[str, Any] = {
        "seed": params.seed,
        "train": params.for_variant(variant).model_dump(mode="json"),
        "world": params.world.model_dump(mode="json"),
    }
    return dict(flat(sections))


def digest(value: Any) -> str:
    """A short stable digest of plain values, whatever their order on disk."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_md5(path: Path) -> str:
    """The digest that DVC records for a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _commit(root: Path) -> str:
    """HEAD, with ``-dirty`` when tracked files differ; ``none`` outside git or before a commit."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return described.stdout.strip()
