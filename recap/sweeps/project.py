"""The sweep as a DVC project of its own, beside the main one: ``.recap/sweep``.

It has the same code, a dvc.yaml with the stages that cells need, parameters with the sweep's
variants and seeds in the matrix, and the main project's cache: a stage that either has run is
restored in the other. The code is a copy, so that editing it during a sweep changes no cell in
flight; a later run takes the new code. Leaves out running anything: flows/sweep.py.
"""

from __future__ import annotations

import configparser
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recap.locks import STATE
from recap.params import Params, read_params
from recap.params.document import read_document
from recap.rows import atomic_path
from recap.sweeps.design import Cell, Design, sweep_design
from recap.sweeps.fingerprint import CELL_STAGES, CODE, DYNAMICS, Fingerprints, tracked_files
from recap.sweeps.section import sweep_section

FOLDER = STATE / "sweep"
SHARED_STAGES = ("models", "sources", "prepare", "validate", "prefill")
TABLES = ("prompts", "prefills")
"""What is validated: the tables that training reads."""


@dataclass(frozen=True, slots=True)
class Project:
    """The sweep of one clone; ``params`` and ``pipeline`` are the derived files' values."""

    root: Path
    folder: Path
    design: Design
    params: Mapping[str, Any]
    pipeline: Mapping[str, Any]

    def settings(self, cell: Cell) -> dict[str, str]:
        """What the cell trains with and in which world, flat, as text."""
        variants = {**self.params["variants"]}
        params = Params.model_validate({**self.params, "variants": variants})
        sections = {
            "seed": params.seed,
            "train": params.for_variant(cell.variant).model_dump(mode="json"),
            "world": params.world.model_dump(mode="json"),
        }
        return dict(_flat(sections))

    def stages(self, cell: Cell) -> list[str]:
        """The cell's own stages, in order."""
        names = [*CELL_STAGES, *([DYNAMICS] if cell.variant in self.design.dynamics else [])]
        return [f"{name}@{cell.name}" for name in names]

    def fingerprints(self) -> dict[Cell, str]:
        """What every cell of the design depends on, from the clone's own code."""
        return self._fingerprints(self.root, self.pipeline, self.params)

    def written(self) -> dict[Cell, str]:
        """The same of the derived project as it lies there; empty where none was written."""
        if not (self.folder / "dvc.yaml").is_file():
            return {}
        pipeline = yaml.safe_load((self.folder / "dvc.yaml").read_text(encoding="utf-8"))
        return self._fingerprints(self.folder, pipeline, read_document(self.folder / "params.yaml"))

    def _fingerprints(
        self, root: Path, pipeline: Mapping[str, Any], params: Mapping[str, Any]
    ) -> dict[Cell, str]:
        """Of the design's cells that ``params`` has too."""
        known, matrix = Fingerprints(root, pipeline, params), params["matrix"]
        return {
            cell: known.cell(cell, dynamics=cell.variant in self.design.dynamics)
            for cell in self.design.cells()
            if cell.variant in matrix["variants"] and cell.seed in matrix["seeds"]
        }


def read_project(root: Path) -> Project:
    """The sweep that the clone's files ask for; writes nothing.

    Raises ParameterError where params.yaml has no sweep, or one that does not fit.
    """
    params = read_params(root / "params.yaml")
    design = sweep_design(params)
    pipeline = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))
    kept = (*SHARED_STAGES, *CELL_STAGES, DYNAMICS)
    return Project(
        root=root,
        folder=root / FOLDER,
        design=design,
        params=_derived(read_document(root / "params.yaml"), params, design),
        pipeline={"stages": {name: pipeline["stages"][name] for name in kept}},
    )


def write_project(project: Project) -> Path:
    """Bring the derived project's files up to the clone's; its outputs and lock stay. Its folder.

    The parameters are checked once more as derived.
    """
    folder = project.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in (("params.yaml", project.params), ("dvc.yaml", project.pipeline)):
        _write(folder / name, yaml.safe_dump(values, sort_keys=False, width=1000))
    read_params(folder / "params.yaml")
    _copy_code(project.root / CODE, folder / CODE)
    _write(folder / ".dvcignore", (project.root / ".dvcignore").read_text(encoding="utf-8"))
    _write(folder / ".dvc" / "config", _config(project.root))
    return folder


def _derived(document: Any, params: Params, design: Design) -> dict[str, Any]:
    """The clone's parameters with the sweep's variants, seeds and overlay."""
    sections = {**document}
    for section, values in sweep_section(params).overlay.items():
        sections[section] = _overlay(sections.get(section), values)
    definitions = {name: dict(values) for name, values in design.variants.items()}
    sections["variants"] = {**document["variants"], **definitions}
    sections["matrix"] = {
        **document["matrix"],
        "tables": list(TABLES),
        "variants": list(design.variants),
        "seeds": list(design.seeds),
    }
    return sections


def _overlay(values: Any, changes: Any) -> Any:
    if not isinstance(values, dict) or not isinstance(changes, dict):
        return changes
    return {**values, **{key: _overlay(values.get(key), new) for key, new in changes.items()}}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def _copy_code(source: Path, target: Path) -> None:
    """Make ``target`` the same files; one that is equal is not touched."""
    wanted = tracked_files(source)
    for name in tracked_files(target) if target.is_dir() else ():
        if name not in wanted:
            (target / name).unlink()
    for name in wanted:
        content = (source / name).read_bytes()
        place = target / name
        if not place.is_file() or place.read_bytes() != content:
            with atomic_path(place) as part:
                part.write_bytes(content)
    for folder in sorted((p for p in target.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            shutil.rmtree(folder)


def _config(root: Path) -> str:
    """The clone's own DVC settings, remotes and all, with its cache; git is not asked."""
    config = configparser.ConfigParser(interpolation=None)
    config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    for section in ("core", "cache"):
        if not config.has_section(section):
            config.add_section(section)
    config["core"]["no_scm"] = "true"
    if "dir" not in config["cache"]:
        config["cache"]["dir"] = "cache"
    config["cache"]["dir"] = str((root / ".dvc" / config["cache"]["dir"]).resolve())
    for name in config.sections():
        url = config[name].get("url", "")
        if name.startswith("'remote ") and url and "://" not in url:
            config[name]["url"] = str((root / ".dvc" / url).resolve())
    lines = []
    for name in config.sections():
        lines += [f"[{name}]", *(f"    {key} = {value}" for key, value in config[name].items())]
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    """Write unless it stands there already: a date that moves makes DVC look again."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")
