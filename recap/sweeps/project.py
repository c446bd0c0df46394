"""The sweep as a separate DVC project beside the main one: ``.recap/sweep``.

The project has a dvc.yaml with the shared stages and one dvc.yaml for each cell. (DVC writes a
whole lock file after every stage, which takes seven seconds for 69 cells in one file.) Its matrix
has the sweep's variants and seeds. It shares the main project's cache, so either project restores
stages that the other has run. Its code is a copy, so that edits during a sweep change no running
cell; a later run copies the new code. Leaves out running a sweep (flows/sweep.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recap.params.document import read_document, refuse_conflicts
from recap.params.whole import Params, read_params
from recap.pipeline.derived import derived_config
from recap.pipeline.lock import digest, trained_with
from recap.rows import atomic_path
from recap.runtime.locks import STATE, exclusive
from recap.sweeps.design import Cell, Design, sweep_design
from recap.sweeps.fingerprint import CELL_STAGES, CODE, DYNAMICS, Fingerprints, tracked_files
from recap.sweeps.section import sweep_section

FOLDER = STATE / "sweep"
CELLS = Path("cells")
DVC_LOCK = Path(".dvc/tmp/lock")
"""DVC's lock for writing; it is a kernel lock, as ours are."""
"""In the derived project, the folder with a dvc.yaml and dvc.lock for each cell."""
SHARED_STAGES = ("models", "sources", "prepare", "validate", "prefill")
TABLES = ("prompts", "prefills")
"""The tables to validate: those that training reads."""


@dataclass(frozen=True, slots=True)
class Project:
    """The sweep of one clone; ``params`` and ``pipeline`` are the values of the derived files."""

    root: Path
    folder: Path
    design: Design
    params: Mapping[str, Any]
    pipeline: Mapping[str, Any]

    def settings(self, cell: Cell) -> dict[str, str]:
        """The cell's training settings and world, flat, as text."""
        return trained_with(Params.model_validate(dict(self.params)), cell.variant)

    def stages(self, cell: Cell) -> list[str]:
        """DVC's addresses of the cell's own stages, in order."""
        return [f"{CELLS / cell.name / 'dvc.yaml'}:{name}" for name in self._own(cell)]

    def fingerprints(self) -> dict[Cell, str]:
        """The fingerprint of every cell of the design, from the clone's own code."""
        return self._fingerprints(self.root, self.params, self.design.cells())

    def written(self) -> dict[Cell, str]:
        """The fingerprints in the derived project, for the cells whose files match the design."""
        same = {
            path
            for path, text in self.files().items()
            if (self.folder / path).is_file() and (self.folder / path).read_text() == text
        }
        if Path("dvc.yaml") not in same:
            return {}
        cells = [c for c in self.design.cells() if CELLS / c.name / "dvc.yaml" in same]
        return self._fingerprints(self.folder, read_document(self.folder / "params.yaml"), cells)

    def fingerprint(self, stages: Iterable[str]) -> str:
        """One fingerprint for several stages, given by DVC's addresses."""
        known = Fingerprints(self.root, self.pipeline, self.params)
        return digest([known.stage(_expanded(address)) for address in stages])

    def files(self) -> dict[Path, str]:
        """Relative path of every dvc.yaml in the derived project -> its text."""
        stages = self.pipeline["stages"]
        pipelines = {Path("dvc.yaml"): {name: stages[name] for name in SHARED_STAGES}}
        for cell in self.design.cells():
            pipelines[CELLS / cell.name / "dvc.yaml"] = {
                name: {"wdir": "../..", **_of_cell(stages[name], cell)} for name in self._own(cell)
            }
        return {path: _yaml({"stages": own}) for path, own in pipelines.items()}

    def _own(self, cell: Cell) -> list[str]:
        return [*CELL_STAGES, *([DYNAMICS] if cell.variant in self.design.dynamics else [])]

    def _fingerprints(
        self, root: Path, params: Mapping[str, Any], cells: Iterable[Cell]
    ) -> dict[Cell, str]:
        known = Fingerprints(root, self.pipeline, params)
        return {
            cell: known.cell(cell, dynamics=cell.variant in self.design.dynamics) for cell in cells
        }


def read_project(root: Path) -> Project:
    """The sweep that the clone's files define; writes nothing.

    Raises ParameterError if params.yaml has no sweep or an invalid one.
    """
    refuse_conflicts(root)
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
    """Update the derived project from the clone, keep its outputs and locks; returns its folder.

    Checks the derived parameters again.
    """
    folder, files = project.folder, project.files()
    _write(folder / "params.yaml", _yaml(project.params))
    read_params(folder / "params.yaml")
    for path, text in files.items():
        _write(folder / path, text)
    for path in (folder / CELLS).iterdir():
        if CELLS / path.name / "dvc.yaml" not in files:
            shutil.rmtree(path)
    _copy_code(project.root / CODE, folder / CODE)
    _write(folder / ".dvcignore", (project.root / ".dvcignore").read_text(encoding="utf-8"))
    _write(folder / ".dvc" / "config", derived_config(project.root, no_scm=True))
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


def _expanded(address: str) -> str:
    """The stage's address in a dvc.yaml with all cells: ``train@recap-0``."""
    file, _, name = address.rpartition(":")
    return f"{name}@{Path(file).parent.name}" if file else name


def locked(folder: Path, stages: Iterable[str] | None = None) -> dict[str, Any]:
    """The entries of the derived project's dvc.lock files, by DVC's addresses.

    Reads all files, or only the shared one and those of ``stages``. Takes DVC's lock, because DVC
    writes these files in place.
    """
    if stages is None:
        files = [path.relative_to(folder) for path in folder.glob(f"{CELLS}/*/dvc.lock")]
    else:
        files = [
            Path(stage.rpartition(":")[0]).with_name("dvc.lock") for stage in stages if ":" in stage
        ]
    found: dict[str, Any] = {}
    with exclusive(folder / DVC_LOCK):
        for path in sorted({Path("dvc.lock"), *files}):
            if (folder / path).is_file():
                entries = yaml.safe_load((folder / path).read_text(encoding="utf-8"))["stages"]
                prefix = "" if path == Path("dvc.lock") else f"{path.with_name('dvc.yaml')}:"
                found |= {f"{prefix}{name}": entry for name, entry in entries.items()}
    return found


def _of_cell(stage: Mapping[str, Any], cell: Cell) -> Any:
    """A matrix stage, filled in for one cell."""
    text = _yaml({key: value for key, value in stage.items() if key != "matrix"})
    text = text.replace("${item.variant}", cell.variant).replace("${item.seed}", str(cell.seed))
    return yaml.safe_load(text)


def _copy_code(source: Path, target: Path) -> None:
    """Copy the files of ``source`` to ``target``; leave equal files untouched."""
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


def _yaml(values: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(values, sort_keys=False, width=1000))


def _write(path: Path, text: str) -> None:
    """Write only if the text differs, because DVC reads a file again if its date changes."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")
