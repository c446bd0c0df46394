"""The cache as DVC lays it out: a missing and a damaged file are told apart and named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from recap.pipeline.cache import examine_cache, object_path

TEXTS = {"config.json": b"{}", "model.safetensors": b"weights"}


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def keep(cache: Path, digest: str, content: bytes) -> Path:
    path = object_path(cache, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def stages(tmp_path: Path) -> dict[str, Any]:
    """A file and a folder of two files, all in the cache."""
    listing = json.dumps([{"md5": md5(text), "relpath": name} for name, text in TEXTS.items()])
    folder = f"{md5(listing.encode())}.dir"
    keep(tmp_path, folder, listing.encode())
    for text in (*TEXTS.values(), b"rows"):
        keep(tmp_path, md5(text), text)
    return {
        "prepare": {"outs": [{"path": "data/train.jsonl", "md5": md5(b"rows")}]},
        "models@policy": {"outs": [{"path": "models/policy", "md5": folder}]},
        "no outputs": {},
    }


def test_a_whole_cache_is_sound(tmp_path: Path, stages: dict[str, Any]) -> None:
    state = examine_cache(tmp_path, stages)
    assert (state.total, state.missing, state.damaged) == (4, [], [])


def test_a_damaged_file_is_named(tmp_path: Path, stages: dict[str, Any]) -> None:
    path = keep(tmp_path, md5(b"weights"), b"weightz")
    state = examine_cache(tmp_path, stages)
    assert (state.missing, state.damaged) == ([], [path])


def test_a_folder_without_one_of_its_files_is_missing(
    tmp_path: Path, stages: dict[str, Any]
) -> None:
    object_path(tmp_path, md5(b"weights")).unlink()
    assert examine_cache(tmp_path, stages).missing == ["models/policy"]


def test_a_folder_whose_list_is_damaged_is_named(tmp_path: Path, stages: dict[str, Any]) -> None:
    path = keep(tmp_path, stages["models@policy"]["outs"][0]["md5"], b"[")
    assert examine_cache(tmp_path, stages).damaged == [path]


def test_an_empty_cache_misses_everything(tmp_path: Path, stages: dict[str, Any]) -> None:
    state = examine_cache(tmp_path / "elsewhere", stages)
    assert state.missing == ["data/train.jsonl", "models/policy"]
