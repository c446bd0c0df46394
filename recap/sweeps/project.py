"""The sweep as a DVC project of its own, beside the main one: ``.recap/sweep``.

It has the same code, a dvc.yaml with the stages that cells share and one for each cell (DVC writes
a whole lock file after every stage: seven seconds where 69 cells stand in one), parameters with the
sweep's variants and seeds in the matrix, and the main project's cache: a stage that either has run
is restored in the other. The code is a copy, so that editing it during a sweep changes no cell in
flight; a later run takes the new code. Leaves out running anything: flows/sweep.py.
"""

from __future__ import annotations

import configparser
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recap.models.fingerprints import record_fingerprints
from recap.params.document import read_document, refuse_conflicts
from recap.params.whole import Params, read_params
from recap.pipeline.lock import digest, trained_with
from recap.rows import atomic_path
from recap.runtime.locks import STATE, exclusive
from recap.sweeps.design import Cell, Design, sweep_design
from recap.sweeps.fingerprint import CELL_STAGES, CODE, DYNAMICS, Fingerprints, tracked_files
from recap.sweeps.section import sweep_section

FOLDER = STATE / "sweep"
CELLS = Path("cells")
DVC_LOCK = Path(".dvc/tmp/lock")
"""What DVC holds whenever it writes: a lock of the kernel, as ours are."""
"""Below the derived project, a folder with dvc.yaml and dvc.lock for each cell."""
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
        return trained_with(Params.model_validate(dict(self.params)), cell.variant)

    def stages(self, cell: Cell) -> list[str]:
        """DVC's addresses of the cell's own stages, in order."""
        return [f"{CELLS / cell.name / 'dvc.yaml'}:{name}" for name in self._own(cell)]

    def fingerprints(self) -> dict[Cell, str]:
        """What every cell of the design depends on, from the clone's own code."""
        return self._fingerprints(self.root, self.params, self.design.cells())

    def written(self) -> dict[Cell, str]:
        """The same of the derived project, for those cells that lie there as they are asked for."""
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
        """What stages, by DVC's addresses, depend on, as one digest."""
        known = Fingerprints(self.root, self.pipeline, self.params)
        return digest([known.stage(_expanded(address)) for address in stages])

    def files(self) -> dict[Path, str]:
        """Every dvc.yaml of the derived project, by its place in there."""
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
    """The sweep that the clone's files ask for; writes nothing but fingerprints of origins.

    Raises ParameterError where params.yaml has no sweep, or one that does not fit.
    """
    refuse_conflicts(root)
    params = read_params(root / "params.yaml")
    record_fingerprints(root, params)
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
    folder, files = project.folder, project.files()
    _write(folder / "params.yaml", _yaml(project.params))
    record_fingerprints(folder, read_params(folder / "params.yaml"))
    for path, text in files.items():
        _write(folder / path, text)
    for path in (folder / CELLS).iterdir():
        if CELLS / path.name / "dvc.yaml" not in files:
            shutil.rmtree(path)
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


def _expanded(address: str) -> str:
    """How a stage is called where all cells stand in one dvc.yaml: ``train@recap-0``."""
    file, _, name = address.rpartition(":")
    return f"{name}@{Path(file).parent.name}" if file else name


def locked(folder: Path, stages: Iterable[str] | None = None) -> dict[str, Any]:
    """What the dvc.lock files of the derived project have of its stages, by DVC's addresses.

    Of all files, or of those in which ``stages`` stand and of what cells share. DVC writes such a
    file in place, so that its lock is taken: nothing is read that is half written.
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
    """A stage of the matrix as it is for one cell."""
    text = _yaml({key: value for key, value in stage.items() if key != "matrix"})
    text = text.replace("${item.variant}", cell.variant).replace("${item.seed}", str(cell.seed))
    return yaml.safe_load(text)


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


def _yaml(values: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(values, sort_keys=False, width=1000))


def _write(path: Path, text: str) -> None:
    """Write unless it stands there already: a date that moves makes DVC look again."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")
