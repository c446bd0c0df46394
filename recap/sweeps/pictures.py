"""The list of the sweep's figures, and their files.

A table of the page, or the ledger, has every number in them. A figure without data has no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from recap.sweeps.curves import over_time, training
from recap.sweeps.dials import dials, trainings
from recap.sweeps.drawing import Drawn, save, styled
from recap.sweeps.results import Results
from recap.sweeps.tables import Tables

MAKERS: Mapping[str, Callable[[Results, Tables], Drawn | None]] = {
    "dials": dials,
    "trainings": trainings,
    "rewards": lambda results, _: training(results),
    "time": lambda results, _: over_time(results),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A file, its title, and its caption."""

    path: Path
    title: str
    caption: str


def draw(results: Results, tables: Tables, stem: Path) -> dict[str, Picture]:
    """Write ``STEM_<name>.png`` for every figure with data; returns the figures by name."""
    pictures = {}
    for name, make in MAKERS.items():
        path = stem.with_name(f"{stem.name}_{name}.png")
        with styled():
            drawn = make(results, tables)
            if drawn is None:
                path.unlink(missing_ok=True)
                continue
            save(drawn.figure, path)
        pictures[name] = Picture(path, drawn.title, drawn.caption)
    return pictures
