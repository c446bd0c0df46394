"""Finds missing and damaged files in DVC's cache, among the outputs that dvc.lock records.

DVC trusts read-only files in its cache, so it checks out damaged ones. This module reads every file
and compares its digest with its name. Leaves out the repair.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.pipeline.lock import file_md5

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


def _members(cache: Path, digest: str) -> list[str]:
    """Digests of a folder's files; empty if its list is missing or damaged."""
    try:
        return [entry["md5"] for entry in json.loads(object_path(cache, digest).read_bytes())]
    except (OSError, ValueError, KeyError, TypeError):
        return []
