"""Live metrics of running cells, read from the files that training appends to.

Training writes ``.recap/train/<cell>.live.jsonl`` and never waits for a reader. Leaves out where
the numbers go (recap/tracking/runs.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from recap.runtime.locks import STATE

FOLDER = STATE / "train"
SUFFIX = ".live.jsonl"
STEP = "update"
SPEED = ("seconds", "time_share", "tokens_per_second", "gemm", "memory_retries")
"""Beginnings of the names of numbers that differ between two equal runs."""

Line = Mapping[str, float]


def numbers(line: Mapping[str, object]) -> dict[str, float]:
    """The numeric entries of a metrics line; what was not measured (``None``) is left out."""
    return {
        name: float(value)
        for name, value in line.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def lasting(line: Line) -> dict[str, float]:
    """The numbers that are the same whenever the run is repeated."""
    return {name: value for name, value in line.items() if not name.startswith(SPEED)}


def agree(line: Line, seen: Line) -> bool:
    """Whether what lasts of a line was ``seen``, as far as a ledger keeps digits."""
    return all(
        name in seen and math.isclose(seen[name], value, abs_tol=1e-4)
        for name, value in lasting(line).items()
        if name != STEP
    )


def spooled(root: Path, cell: str, curve: Sequence[Line]) -> list[Line]:
    """The live lines of the very training that has ``curve``, with its speeds.

    None where they are gone, or of another run: what no store was there for is sent from here.
    """
    path = root / FOLDER / f"{cell}{SUFFIX}"
    if not path.is_file():
        return []
    lines = {int(line[STEP]): line for line in _complete_lines(path)}
    steps = [int(line[STEP]) for line in curve]
    same = sorted(lines) == steps and all(agree(line, lines[int(line[STEP])]) for line in curve)
    return [lines[step] for step in steps] if same else []


@dataclass(slots=True)
class Fresh:
    """Lines of one cell that nobody has seen; ``restarted`` when they belong to a new run."""

    cell: str
    restarted: bool
    lines: list[Line]


@dataclass(slots=True)
class LiveFiles:
    """Follows every cell's file; what stood there at the start and never grows is no live run."""

    root: Path
    _seen: dict[str, dict[int, Line]] = field(default_factory=dict)
    _stamps: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Remember what is there."""
        self._stamps = {path: _stamp(path) for path in self._files()}

    def fresh(self) -> list[Fresh]:
        """What has come since the last call, one entry for each cell with something new.

        A run that was killed goes on in the same file from its last state; updates it repeats are
        equal to those seen and not reported again. A different line for an update that was seen
        means that training began anew.
        """
        found = []
        for path in self._files():
            if _stamp(path) == self._stamps.get(path):
                continue
            self._stamps[path] = _stamp(path)
            cell = path.name.removesuffix(SUFFIX)
            lines = {int(line[STEP]): line for line in _complete_lines(path)}
            before = self._seen.get(cell, {})
            same = all(
                lasting(line) == lasting(lines[step])
                for step, line in before.items()
                if step in lines
            )
            new = [line for step, line in lines.items() if step not in before or not same]
            self._seen[cell] = (before | lines) if same else lines
            if new:
                found.append(Fresh(cell, restarted=not same, lines=new))
        return found

    def _files(self) -> list[Path]:
        return sorted((self.root / FOLDER).glob(f"*{SUFFIX}"))


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _complete_lines(path: Path) -> list[Line]:
    """Lines that end; the last one may still be on its way."""
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return [numbers(json.loads(line)) for line in whole.splitlines()]
