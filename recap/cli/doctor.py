"""Looks for the usual reasons why a run cannot start, and names a fix for each."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from recap.cli.imports import HEAVY, MEND, broken, installed
from recap.cli.preflight import check_run
from recap.errors import DataError, RecapError, choices
from recap.pipeline.cache import cache_folder, examine_cache
from recap.pipeline.graph import read_pipeline
from recap.pipeline.lock import read_commit, read_lineage
from recap.runtime.locks import STATE, holder
from recap.tracking.store import database

PYTHON = (3, 11)
CONSTRAINTS = "constraints.txt"
GPU_CONSTRAINTS = "constraints.gpu.txt"
FREE = 5e9
"""Bytes: more than a run's models, checkpoints and cache take."""
OURS = re.compile(
    rb"recap\.stages\.|dvc\0.*repro|flows\0(reproduce|sweep)|prefect\.(server|engine)"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; ``fix`` is empty if there is no problem."""

    subject: str
    found: str
    fix: str = ""


def examine(root: Path) -> Iterator[Finding]:
    """Every check in turn, the quick ones first; raises DataError outside a clone."""
    missing = [
        name for name in ("params.yaml", "dvc.yaml", CONSTRAINTS) if not (root / name).is_file()
    ]
    if missing:
        raise DataError(
            f"Expected a clone of the project in {root.resolve()}, found no {choices(missing)} "
            "there. Go to the clone's folder, or restore the file from git."
        )
    yield _python()
    yield _packages(root)
    yield _imports(root)
    yield _git(root)
    yield _parameters(root)
    yield _space(root)
    yield _lock(root)
    yield _leftovers(root)
    yield _store(root)
    yield _cache(root)  # first, because DVC deletes damaged files that are writable
    yield _dvc(root)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON:
        return Finding("python", version, "Python 3.11 or later; then `rm -r .venv && make run`.")
    return Finding("python", version)


def _packages(root: Path) -> Finding:
    """Compares versions with the installed list; the list for GPUs includes vllm."""
    name = (
        GPU_CONSTRAINTS if _version("vllm") and (root / GPU_CONSTRAINTS).is_file() else CONSTRAINTS
    )
    pinned = _pinned(root / name)
    wrong = [
        f"{name} {found or 'none'} instead of {version}"
        for name, version in pinned.items()
        if (found := _version(name)) != version
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return Finding(
            "packages",
            f"{', '.join(wrong[:3])}{more}",
            f"`rm -f .venv/installed && make install` installs what {name} says.",
        )
    return Finding("packages", f"{len(pinned)} as pinned")


def _pinned(path: Path) -> dict[str, str]:
    """Versions by name, from the lines that apply to this machine and this Python."""
    wanted = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            one = Requirement(line)
            if one.marker is None or one.marker.evaluate():
                wanted[one.name] = str(one.specifier).removeprefix("==")
    return wanted


def _version(name: str) -> str | None:
    """The installed version, without the build (``+cpu``)."""
    try:
        return importlib.metadata.version(name).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def _imports(root: Path) -> Finding:
    """Whether the packages with compiled parts can be imported."""
    pinned = _pinned(root / CONSTRAINTS)
    modules = installed({name: module for name, module in HEAVY.items() if name in pinned})
    found = list(broken(modules))
    if found:
        others = f" (and {', '.join(one.module for one in found[1:])})" if found[1:] else ""
        return Finding("imports", f"{found[0].module}{others}: {found[0].error}", MEND)
    return Finding("imports", f"{len(modules)} heavy packages load")


def _git(root: Path) -> Finding:
    commit = read_commit(root)
    if commit.missing:
        return Finding("git", "no commit", f"Results name no commit: {commit.missing}")
    return Finding("git", commit.name)


def _parameters(root: Path) -> Finding:
    try:
        check_run(root)
    except RecapError as error:
        return Finding("params.yaml", "does not fit", str(error))
    return Finding("params.yaml", "fits")


def _space(root: Path) -> Finding:
    free = shutil.disk_usage(root).free
    text = f"{free / 1e9:.1f} GB free"
    if free < FREE:
        return Finding(
            "disk", text, f"Free {(FREE - free) / 1e9:.1f} GB; `dvc gc -w` drops unused results."
        )
    return Finding("disk", text)


def _lock(root: Path) -> Finding:
    if pid := holder(root / STATE / "run.lock"):
        return Finding("run", f"process {pid} is at it", "Wait for it, or end it.")
    if at_work := [str(ours) for ours in _processes(root)]:
        listed = "; ".join(at_work)
        return Finding("run", f"without the clone's lock: {listed}", "Wait for it, or end it.")
    return Finding("run", "none under way")


def _leftovers(root: Path) -> Finding:
    found = [ours for ours in _processes(root) if ours.orphan]
    if found:
        numbers = " ".join(str(ours.pid) for ours in found)
        return Finding("leftovers", "; ".join(map(str, found)), f"End them: kill {numbers}")
    return Finding("leftovers", "none")


@dataclass(frozen=True, slots=True)
class _Process:
    """A process of a run in this clone; an orphan's parent has ended."""

    pid: int
    command: str
    orphan: bool

    def __str__(self) -> str:
        return f"{self.pid} ({self.command})"


def _processes(root: Path) -> Iterator[_Process]:
    """Runs, DVC, stages and servers that work in this clone (Linux: read from /proc)."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or we may not read it
            command = (entry / "cmdline").read_bytes()
            parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
            if os.path.samefile(entry / "cwd", root) and OURS.search(command):
                words = command[-60:].replace(bytes(1), b" ").decode(errors="replace").strip()
                yield _Process(int(entry.name), words, orphan=parent == "1")


def _store(root: Path) -> Finding:
    path = database(root)
    if path is None:
        return Finding("tracking", "on a server: `recap publish` shows whether it answers")
    if not path.is_file():
        return Finding("tracking", "no store yet; the first run makes it")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            verdict = store.execute("pragma quick_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        return Finding(
            "tracking",
            f"{path.name}: {verdict}",
            f"Move {path.name} aside; `recap publish` makes it anew from the files.",
        )
    return Finding("tracking", f"{path.name} is sound")


def _dvc(root: Path) -> Finding:
    try:
        pipeline = read_pipeline(root)
    except RecapError as error:
        return Finding("dvc", "cannot read the project", str(error))
    return Finding("dvc", f"{len(pipeline.changed())} of {len(pipeline.nodes)} stages changed")


def _cache(root: Path) -> Finding:
    """Reads every cached file that dvc.lock records; nothing else notices a damaged file."""
    try:
        stages = read_lineage(root).stages
    except RecapError as error:
        return Finding("cache", "dvc.lock cannot be read", str(error))
    if not stages:
        return Finding("cache", "nothing recorded yet; the first run does it")
    try:
        state = examine_cache(cache_folder(root), stages)
    except RecapError as error:
        return Finding("cache", "DVC does not tell where it is", str(error))
    if state.damaged:
        return Finding(
            "cache",
            f"{len(state.damaged)} of {state.total} files are damaged: {_some(state.damaged)}",
            "Delete these files; then `dvc pull` fetches them from a remote, or `make run` makes "
            "them again. Outputs checked out from them are damaged too: `dvc status` lists them.",
        )
    if state.missing:
        return Finding(
            "cache",
            f"{len(state.missing)} recorded outputs are not there: {_some(state.missing)}",
            "`dvc pull` fetches them from a remote. Without one, `dvc commit -f` takes those that "
            "are still in the workspace, and `make run` makes the others.",
        )
    return Finding("cache", f"{state.total} files are sound")


def _some(names: Sequence[object]) -> str:
    """The first three, and the number of the others."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(str, names[:3])) + more
