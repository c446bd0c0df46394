"""Following live metrics: nothing twice, nothing half-written, a fresh start is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recap.tracking.live import Fresh, LiveFiles, numbers


@pytest.fixture
def live(tmp_path: Path) -> Path:
    path = tmp_path / ".recap/train/recap-0.live.jsonl"
    path.parent.mkdir(parents=True)
    return path


def write(path: Path, *updates: tuple[int, float, float], tail: str = "") -> None:
    """Lines of (update, reward, tokens per second)."""
    names = ("update", "reward", "tokens_per_second")
    lines = [json.dumps(dict(zip(names, values, strict=True))) + "\n" for values in updates]
    path.write_text("".join(lines) + tail)


def steps(found: list[Fresh]) -> list[tuple[str, bool, list[int]]]:
    return [(f.cell, f.restarted, [int(line["update"]) for line in f.lines]) for f in found]


def test_only_what_grows_is_live(tmp_path: Path, live: Path) -> None:
    write(live, (1, 0.5, 100))
    files = LiveFiles(tmp_path)
    assert files.fresh() == []
    write(live, (1, 0.5, 100), (2, 0.6, 100), tail='{"update": 3, "rew')
    assert steps(files.fresh()) == [("recap-0", False, [1, 2])]
    assert files.fresh() == []
    write(live, (1, 0.5, 100), (2, 0.6, 100), (3, 0.7, 100))
    assert steps(files.fresh()) == [("recap-0", False, [3])]


def test_a_resumed_run_goes_on(tmp_path: Path, live: Path) -> None:
    files = LiveFiles(tmp_path)
    write(live, (1, 0.5, 100), (2, 0.6, 100), (3, 0.7, 100))
    files.fresh()
    write(live, (1, 0.5, 100))
    assert files.fresh() == []
    write(live, (1, 0.5, 100), (2, 0.6, 55), (3, 0.7, 55), (4, 0.8, 55))
    assert steps(files.fresh()) == [("recap-0", False, [4])]


def test_another_training_in_the_same_file_starts_anew(tmp_path: Path, live: Path) -> None:
    files = LiveFiles(tmp_path)
    write(live, (1, 0.5, 100), (2, 0.6, 100))
    files.fresh()
    write(live, (1, 0.1, 100))
    assert steps(files.fresh()) == [("recap-0", True, [1])]
    write(live, (1, 0.1, 100), (2, 0.2, 100))
    assert steps(files.fresh()) == [("recap-0", False, [2])]


def test_what_was_not_measured_is_no_number() -> None:
    assert numbers({"a": 1, "b": None, "c": 0.5, "d": "x", "e": True}) == {"a": 1.0, "c": 0.5}
