"""Finds missing and damaged files in DVC's cache, among the outputs that dvc.lock records.

DVC trusts read-only files in its cache, so it checks out damaged ones. This module reads every file
and compares its digest with its name. It also gets one file by its digest, from the remote if the
cache lacks it. Leaves out the repair.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

from recap.errors import ModelError, PipelineError
from recap.pipeline.lock import file_md5
from recap.rows import atomic_path
from recap.runtime.child import start

OBJECTS = "files/md5"
"""Where cache and remote keep files, below their folders."""
FOLDER = ".dir"
"""Suffix of a folder's digest; the folder's object lists its files."""


@dataclass(frozen=True, slots=True)
class CacheState:
    """``total`` files are recorded; ``missing`` outputs by path, ``damaged`` files of the cache."""

    total: int
    missing: list[str]
    damaged: list[Path]


def examine_cache(cache: Path, stages: Mapping[str, Any]) -> CacheState:
    """Read all files that ``stages`` (a parsed dvc.lock) record, in ``cache`` (``…/files/md5``)."""
    total, missing, damaged = 0, [], []
    seen: set[str] = set()
    for output, digest in recorded(stages):
        whole = True
        for each in (digest, *(_members(cache, digest) if digest.endswith(FOLDER) else ())):
            path = object_path(cache, each)
            if not path.is_file():
                whole = False
            elif each not in seen and file_md5(path) != each.removesuffix(FOLDER):
                damaged.append(path)
            total += each not in seen
            seen.add(each)
        if not whole:
            missing.append(output)
    return CacheState(total, missing, damaged)


def recorded(stages: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Path and digest of each output."""
    for entry in stages.values():
        for out in entry.get("outs", []):
            yield out["path"], out["md5"]


def object_path(cache: Path, digest: str) -> Path:
    """The path in the cache of the object with this digest."""
    return cache / digest[:2] / digest[2:]


def cache_folder(root: Path) -> Path:
    """Where the clone's cache keeps files; raises PipelineError where DVC does not tell."""
    return Path(_dvc(root, "cache", "dir")) / OBJECTS


def ensure_object(root: Path, cache: Path, digest: str, name: str) -> Path:
    """The file of the cache with this digest, from the clone's default remote if it is not there.

    ``name`` is what messages call it. Raises ModelError when neither has it, or when the file has
    other content.
    """
    path = object_path(cache, digest)
    if not path.is_file():
        _fetch(root, path, digest, name)
    if file_md5(path) != digest:
        raise ModelError(
            f"Expected {name} with the digest {digest} in {path}, got other content. Delete that "
            "file; `dvc pull` or the next load fetches it from the remote, or train again."
        )
    return path


def _fetch(root: Path, path: Path, digest: str, name: str) -> None:
    """Copy a file from the default remote into the cache, read-only as DVC leaves it."""
    try:
        remote = _dvc(root, "config", "core.remote")
        with tempfile.TemporaryDirectory() as folder, atomic_path(path) as part:
            copy = Path(folder) / "copy"
            place = f"remote://{remote}/{OBJECTS}/{digest[:2]}/{digest[2:]}"
            _dvc(root, "get-url", "--quiet", place, str(copy))
            if (found := file_md5(copy)) != digest:
                raise PipelineError(f"the remote's file has the digest {found}")
            shutil.copyfile(copy, part)
            part.chmod(0o444)
    except PipelineError as error:
        raise ModelError(
            f"Expected {name} with the digest {digest} in DVC's cache ({path}) or on its default "
            f"remote, found it in neither: {error}. Add the remote that has it, or train again."
        ) from None


def _dvc(root: Path, *arguments: str) -> str:
    """What a DVC command says; raises PipelineError when it fails."""
    asked = start(["-m", "dvc", *arguments], cwd=root, stdout=PIPE, stderr=PIPE)
    said, complaint = asked.communicate()
    if asked.returncode != 0:
        lines = complaint.strip().splitlines() or [f"`dvc {arguments[0]}` gives nothing"]
        raise PipelineError(lines[0])
    return said.strip()


def _members(cache: Path, digest: str) -> list[str]:
    """Digests of a folder's files; empty if its list is missing or damaged."""
    try:
        return [entry["md5"] for entry in json.loads(object_path(cache, digest).read_bytes())]
    except (OSError, ValueError, KeyError, TypeError):
        return []
