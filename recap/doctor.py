"""Looks for the usual reasons why a run cannot start, and names the fix of each."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recap.errors import DataError, RecapError, choices
from recap.locks import STATE
from recap.pipeline import read_pipeline
from recap.preflight import check_run
from recap.store import database

PYTHON = (3, 11)
CONSTRAINTS = "constraints.txt"
FREE = 5e9
"""Bytes: models, checkpoints and cache of a run with room to spare."""
OURS = re.compile(
    rb"recap\.stages\.|dvc\0.*repro|flows\0(reproduce|sweep)|prefect\.(server|engine)"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``fix`` is empty when it is well."""

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
    yield _git(root)
    yield _parameters(root)
    yield _space(root)
    yield _lock(root)
    yield _leftovers(root)
    yield _store(root)
    yield _dvc(root)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON:
        return Finding("python", version, "Python 3.11 or later; then `rm -r .venv && make run`.")
    return Finding("python", version)


def _packages(root: Path) -> Finding:
    pinned = re.findall(r"^([\w.-]+)==(\S+)", (root / CONSTRAINTS).read_text(), re.MULTILINE)
    wrong = []
    for name, version in pinned:
        try:
            installed = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            installed = "none"
        if installed != version:
            wrong.append(f"{name} {installed} instead of {version}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return Finding(
            "packages",
            f"{', '.join(wrong[:3])}{more}",
            "`rm -f .venv/installed && make install` installs what constraints.txt says.",
        )
    return Finding("packages", f"{len(pinned)} as pinned")


def _git(root: Path) -> Finding:
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True
        )
    except FileNotFoundError:
        return Finding("git", "not installed", "Install git: DVC and lineage need it.")
    if head.returncode != 0:
        return Finding("git", "no commit here", "Run inside a clone with at least one commit.")
    return Finding("git", head.stdout.strip())


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
    path = root / STATE / "run.lock"
    if path.is_file():
        with path.open("a+", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.seek(0)
                holder = stream.read().strip()
                return Finding("run", f"process {holder} is at it", "Wait for it, or end it.")
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
    """A process of a run in this clone; an orphan's parent has gone."""

    pid: int
    command: str
    orphan: bool

    def __str__(self) -> str:
        return f"{self.pid} ({self.command})"


def _processes(root: Path) -> Iterator[_Process]:
    """Runs, DVC, stages and servers that work in this clone (Linux: read from /proc)."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or it is not ours to look at
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
