"""Computes a finished cell of the sweep again and lists the bit-equal files.

    recap sweep repeat CELL

The stages run in a separate folder, forced and without the run cache, on the outputs of the sweep's
shared stages. Finished outputs are only read. The comparison covers every file of every output, and
the numbers of the live file, which contains times. Leaves out other machines: hashes of weights are
equal only on one kind of processor.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from recap.errors import ParameterError, PipelineError
from recap.pipeline.lock import file_md5
from recap.rows import atomic_path
from recap.runtime import child
from recap.runtime.locks import STATE, sole_run
from recap.sweeps.design import Cell
from recap.sweeps.ledger import LEDGER
from recap.sweeps.project import CELLS, Project, read_project, write_project
from recap.tracking.live import FOLDER, SUFFIX

PLACE = STATE / "repeat"
PAGE = Path("docs/results/determinism.md")
MEMBERS = 6
"""The most fields that a line names; the others are counted."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One output of a stage: its files, and the files and fields that differ."""

    stage: str
    output: str
    files: int
    differ: Mapping[str, tuple[str, ...]]


def repeat(root: Path, name: str) -> list[Compared]:
    """Compute the cell again, write the page, and return the comparison.

    Raises ParameterError for an unknown cell, and PipelineError for a cell that has no finished
    outputs here or that fails.
    """
    project = read_project(root)
    cells = {cell.name: cell for cell in project.design.cells()}
    if name not in cells:
        raise ParameterError(
            f"Expected a cell of the sweep, for instance {next(iter(cells))}, got '{name}'. "
            "`recap sweep plan` lists variants and seeds."
        )
    cell = cells[name]
    stages = yaml.safe_load(project.files()[CELLS / name / "dvc.yaml"])["stages"]
    missing = [
        out for own in stages.values() for out in own["outs"] if not (project.folder / out).exists()
    ]
    if missing:
        raise PipelineError(
            f"Expected {name} to be computed here, found no {project.folder / missing[0]}: what is "
            f"only recorded has no outputs to compare. Remove {LEDGER / name}.json and "
            "`recap sweep run` computes it; git shows whether its record came out the same."
        )
    again = replace(project, folder=root / PLACE)
    again.folder.mkdir(parents=True, exist_ok=True)
    with sole_run(again.folder):
        try:
            _compute(project, again, cell)
            found = list(_compared(project.folder, again.folder, stages))
            live = _live(project.folder, again.folder, name)
        finally:
            for path in again.folder.iterdir():
                if path.name != STATE.name:  # the lock file is held
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(again.folder)
    with atomic_path(root / PAGE) as part:
        part.write_text(_page(name, found, live), encoding="utf-8")
    return found


def _compute(project: Project, again: Project, cell: Cell) -> None:
    write_project(again)
    shutil.copy(project.folder / "dvc.lock", again.folder)
    _dvc(again.folder, "checkout", "dvc.yaml")
    forced = ["--force", "--single-item", "--no-run-cache", "--no-commit"]
    _dvc(again.folder, "repro", *forced, *again.stages(cell))


def _dvc(folder: Path, *arguments: str) -> None:
    process = child.start(
        ["-m", "dvc", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines = [*lines[-9:], line]
    if process.wait() != 0:
        said = "".join(lines)
        raise PipelineError(f"Expected `dvc {' '.join(arguments)}` to succeed, got:\n{said}")


def _compared(first: Path, second: Path, stages: Mapping[str, Any]) -> Iterator[Compared]:
    for stage, own in stages.items():
        for out in own["outs"]:
            names = sorted(_files(first / out) | _files(second / out))
            differ: dict[str, tuple[str, ...]] = {}
            for name in names:
                one, other = (
                    folder / out / name if name else folder / out for folder in (first, second)
                )
                if not one.is_file() or not other.is_file():
                    differ[name] = ("there in one of the two only",)
                elif file_md5(one) != file_md5(other):
                    differ[name] = tuple(_fields(one, other))
            yield Compared(stage, out, len(names), differ)


def _files(path: Path) -> set[str]:
    """Files in the folder ``path``; an empty name if ``path`` is a file."""
    if path.is_file():
        return {""}
    return {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}


def _fields(one: Path, other: Path) -> list[str]:
    """The fields in which two JSON or JSON Lines files differ; empty for other files."""
    if one.suffix not in (".json", ".jsonl"):
        return []
    flat = [dict(_flat(_rows(path))) for path in (one, other)]
    names = {key for key in flat[0].keys() | flat[1].keys() if flat[0].get(key) != flat[1].get(key)}
    # an index of a list is not a field name
    return sorted({".".join(p for p in key.split(".") if p and not p.isdigit()) for key in names})


def _rows(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    return json.loads(text)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from _flat(inner, f"{prefix}.{key}")
    else:
        yield prefix, value


def _live(first: Path, second: Path, name: str) -> list[str] | None:
    """The numbers in which the live files differ; ``None`` for an untrained cell."""
    paths = [folder / FOLDER / f"{name}{SUFFIX}" for folder in (first, second)]
    if not all(path.is_file() for path in paths):
        return None
    lines = [_rows(path) for path in paths]
    return sorted(
        {
            key
            for one, other in zip(*lines, strict=False)
            for key in one.keys() | other.keys()
            if one.get(key) != other.get(key)
        }
    )


def _page(name: str, found: list[Compared], live: list[str] | None) -> str:
    libraries = ", ".join(f"{each} {version(each)}" for each in ("torch", "transformers", "trl"))
    files, differ = sum(each.files for each in found), sum(len(each.differ) for each in found)
    rows = [f"| {each.stage} | `{each.output}` | {each.files} | {_said(each)} |" for each in found]
    if live is None:
        about = "The cell was not trained, or its live file is gone: no times to compare."
    else:
        listed = ", ".join(f"`{key}`" for key in live) or "none"
        about = f"Numbers of the live file that differ between the two: {listed}."
    return "\n".join(
        [
            "# Determinism",
            "",
            f"Written by `recap sweep repeat {name}`: the finished cell beside one that was "
            "computed anew, forced and without the run cache, from the same shared outputs.",
            "",
            f"{platform.machine()}, Python {platform.python_version()}, {libraries}, one thread.",
            "",
            f"**{files - differ} of {files} files are bit-equal.**",
            "",
            "| stage | output | files | bit-equal |",
            "| --- | --- | ---: | --- |",
            *rows,
            "",
            f"{about} They stand beside the outputs, in no hash.",
            "",
        ]
    )


def _said(each: Compared) -> str:
    if not each.differ:
        return "yes"
    parts = []
    for name, fields in each.differ.items():
        more = f" and {len(fields) - MEMBERS} more" if len(fields) > MEMBERS else ""
        parts.append(f"{name or 'it'}: {', '.join(fields[:MEMBERS]) or 'bytes'}{more}")
    return f"no ({'; '.join(parts)})"


if __name__ == "__main__":
    from recap.errors import RecapError

    try:
        outputs = repeat(Path.cwd(), sys.argv[1])
    except RecapError as error:
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(
        f"{sum(not each.differ for each in outputs)} of {len(outputs)} outputs are bit-equal: "
        f"{PAGE}"
    )
