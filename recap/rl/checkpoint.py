"""What a killed training run continues from: complete states, or none.

A state is a folder: ``model.safetensors``, ``state.pt`` (optimizer and scheduler, read back with
``weights_only=True``), ``metrics.jsonl``, ``carried.json``, ``self_prefills.jsonl`` (the policy's
own thoughts, where these are its prefills) and, written last, ``manifest.json`` with every file's
size and sha256. It is written aside, flushed to disk and renamed, so a folder that is there is
complete unless the disk lied: then its sums disagree, it is set aside and the one before is taken.
Leaves out random number generators, since ``RecapTrainer.update`` seeds them all anew.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from recap.errors import CheckpointError, SpaceError
from recap.models.weights import system_errors
from recap.rl.metrics import Metrics
from recap.rows import read_rows
from recap.runtime.scratch import folder_of, remove_finished
from recap.types.prompts import Prefill
from recap.types.rollouts import RolloutGroup

KEPT = 2
"""Complete states kept: the newest and, should its disk blocks rot, the one before."""
MANIFEST = "manifest.json"
GROUPS = TypeAdapter(list[RolloutGroup], config=ConfigDict(ser_json_inf_nan="constants"))
"""Rollout groups as JSON and back, to the bit: floats are written in their shortest exact form."""


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Everything that the rest of a run depends on, between two updates.

    ``model`` holds each parameter once (tied weights under one name). Read back, tensors are pages
    of the files: whoever keeps one copies it. Of processes that share a policy out, the main one
    alone has tensors to write. ``progress`` holds plain numbers: the prompt cursor and the counts
    that end a run early. ``carried`` are the groups that
    were sampled and scored and wait for their turn, ``self_prefills`` the policy's own thoughts in
    use, ``levels`` where a curriculum has moved alpha and the prefill length.
    """

    update: int
    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    progress: dict[str, int]
    metrics: list[Metrics]
    levels: dict[str, float] = field(default_factory=dict)
    self_prefills: list[Prefill] = field(default_factory=list)
    carried: list[RolloutGroup] = field(default_factory=list)


class Manifest(BaseModel):
    """What a state folder says of itself; ``run`` is the identity of the run that wrote it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    update: int
    run: dict[str, str]
    files: dict[str, tuple[int, str]]


class CheckpointFolder:
    """The states of one run, in a folder named by the hash of its parameters and inputs."""

    def __init__(self, root: Path, cell: str, run: Mapping[str, str]) -> None:
        """``run``: every parameter and input hash that the result depends on."""
        self._run = dict(run)
        self.path = folder_of(root, cell, self._run)
        self._cell = cell
        self.snapshots = self.path / "snapshots"

    def save(self, state: TrainingState) -> None:
        """Write a state; raises SpaceError, with the states so far intact, on a full disk."""
        self.path.mkdir(parents=True, exist_ok=True)
        final = self.path / f"update-{state.update:06d}"
        part = self.path / f".{final.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            self._write(part, state)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise SpaceError(
                f"Expected room for a training state in {self.path}, but the disk is full. "
                "Free some space and run again: training goes on from the state before."
            ) from error
        shutil.rmtree(final, ignore_errors=True)
        part.rename(final)
        _sync(self.path)
        for old in self._complete()[:-KEPT]:
            shutil.rmtree(old)

    def load(self) -> TrainingState | None:
        """The newest sound state, ``None`` when there is none.

        Unsound ones are renamed to ``….broken``. Raises CheckpointError when a sound state belongs
        to other parameters or inputs than this run's.
        """
        for folder in reversed(self._complete()):
            manifest = _sound_manifest(folder)
            if manifest is None:
                aside = folder.with_name(folder.name + ".broken")
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
                continue
            self._refuse_other_run(folder, manifest)
            saved = torch.load(
                folder / "state.pt", map_location="cpu", weights_only=True, mmap=True
            )
            lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            return TrainingState(
                update=manifest.update,
                model=safetensors.torch.load_file(folder / "model.safetensors"),
                metrics=[json.loads(line) for line in lines],
                self_prefills=read_rows(folder / "self_prefills.jsonl", Prefill),
                carried=GROUPS.validate_json((folder / "carried.json").read_bytes()),
                **saved,
            )
        return None

    def remove(self) -> None:
        """Delete all states: the run's outputs are in place, and its cell's lock is held."""
        remove_finished(self.path, self._cell)

    def _complete(self) -> list[Path]:
        return sorted(p for p in self.path.glob("update-*") if not p.name.endswith(".broken"))

    def _write(self, part: Path, state: TrainingState) -> None:
        saved = {
            "optimizer": state.optimizer,
            "scheduler": state.scheduler,
            "progress": state.progress,
            "levels": state.levels,
        }
        thoughts = "".join(thought.model_dump_json() + "\n" for thought in state.self_prefills)
        with system_errors():  # tensors go to disk as they are, without a copy in memory
            safetensors.torch.save_file(state.model, part / "model.safetensors")
            _sync(part / "model.safetensors")
            with (part / "state.pt").open("wb") as stream:
                torch.save(saved, stream)
            _sync(part / "state.pt")
        lines = "".join(json.dumps(line) + "\n" for line in state.metrics)
        _write_synced(part / "metrics.jsonl", lines.encode())
        _write_synced(part / "self_prefills.jsonl", thoughts.encode())
        _write_synced(part / "carried.json", GROUPS.dump_json(state.carried))
        files = {path.name: (path.stat().st_size, _sha256(path)) for path in part.iterdir()}
        manifest = Manifest(update=state.update, run=self._run, files=files)
        _write_synced(part / MANIFEST, manifest.model_dump_json(indent=1).encode())
        _sync(part)

    def _refuse_other_run(self, folder: Path, manifest: Manifest) -> None:
        names = {*manifest.run, *self._run}
        differing = sorted(n for n in names if manifest.run.get(n) != self._run.get(n))
        if differing:
            shown = ", ".join(
                f"{n} (expected {_short(self._run.get(n))}, got {_short(manifest.run.get(n))})"
                for n in differing
            )
            raise CheckpointError(
                f"Expected a state of this run in {folder}, got one that differs in {shown}. "
                "Remove the folder to start afresh."
            )


def _sound_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest if every file is there with the size and hash it states."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    for name, (size, digest) in manifest.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size or _sha256(path) != digest:
            return None
    return manifest


def _short(value: str | None) -> str:
    """A value of an identity for a message: hashes by their beginning."""
    if value is None:
        return "nothing"
    return value if len(value) <= 40 else f"{value[:12]}…"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_synced(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    _sync(path)


def _sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
