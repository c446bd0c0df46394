"""The sweep's driver beside one cell after another and beside ``dvc exp run --queue``.

    python -m tests.bench.sweep [--cells 8] [--seconds 60] [--write]

A cell is four stages of which one computes for so many CPU seconds on one core and the others take
no time (tests/integration/sweep_work.py): what is left of the wall clock is what it takes to run
them. All three ways do the same cells, each in a fresh clone; then two at a time with a tracking
server that is dead. A sweep of 40 cells is finished and run once more. ``--write`` puts it into
docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import yaml

from recap.sweeps.design import Cell
from recap.sweeps.ledger import LEDGER, Ledger
from recap.sweeps.project import read_project
from tests.bench import machine
from tests.bench.page import Table, Target, replace_between_markers, summary
from tests.integration.sweep_project import log, make_sweep_project, recap, surroundings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/performance.md"
MARKERS = ("<!-- sweep bench -->", "<!-- /sweep bench -->")
JOBS = 2
FINISHED = 40
DOWN = "http://127.0.0.1:9"
"""A tracking server that is not there."""


def main() -> None:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sweep", description=__doc__)
    parser.add_argument("--cells", type=int, default=8, help="an even number")
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds of a cell")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        text = measure(options.cells, options.seconds, Path(scratch))
    print(text)
    if options.write:
        replace_between_markers(PAGE, text, MARKERS)


def measure(cells: int, seconds: float, scratch: Path) -> str:
    """Everything that was measured, as markdown, the summary last."""
    described, work = machine.describe(), cells * seconds
    took = {
        "recap sweep run --workers 1": swept(scratch / "one", cells, seconds, 1),
        f"recap sweep run --workers {JOBS}": swept(scratch / "two", cells, seconds, JOBS),
        f"dvc exp run --queue, dvc queue start -j {JOBS}": queued(scratch / "dvc", cells, seconds),
    }
    one, two, _ = took.values()
    dead = swept(scratch / "dead", cells, seconds, JOBS, MLFLOW_TRACKING_URI=DOWN)
    rows = [
        [f"`{what}`", f"{wall:.0f}", f"{one / wall:.2f}", f"{wall * jobs - work:.0f}"]
        for (what, wall), jobs in zip(took.items(), (1, JOBS, JOBS), strict=True)
    ]
    title = f"{cells} cells of {seconds:g} CPU seconds each, {work:g} in all"
    columns = ("how", "seconds", "x one after another", "core-seconds beside the work")
    real = real_cell_seconds()
    each = (one - work) / cells
    finished = again(scratch / "finished")
    targets = [
        Target(f"{JOBS} workers against 1", one / two, at_least=1.8),
        Target(f"a finished sweep of {FINISHED} cells", finished, at_most=10.0, unit="s"),
        Target(
            f"all that is not work, {each:.1f} s a cell, of a cell of the ablation ({real:.0f} s)",
            each / real,
            at_most=0.05,
            percent=True,
        ),
        Target(
            f"{dead - two:.1f} s lost to a dead tracking server, of as many such cells",
            (dead - two) / (cells * real / JOBS),
            at_most=0.02,
            percent=True,
        ),
    ]
    table = Table(title, columns, rows)
    return "\n\n".join([described, str(table), f"At the end: {machine.load()}", summary(targets)])


def swept(folder: Path, cells: int, seconds: float, workers: int, **variables: str) -> float:
    """Seconds of the whole command, Prefect's start included."""
    make_ready(folder, cells)
    begin = time.monotonic()
    recap(folder, "sweep", "run", "--workers", str(workers), BURN=str(seconds), **variables)
    took = time.monotonic() - begin
    assert sum(stage.startswith("train@") for stage in log(folder)) == cells
    return took


def queued(folder: Path, cells: int, seconds: float) -> float:
    """The same cells as DVC's experiments: seconds from the first one queued to the last one's end.

    Each is a target in one dvc.yaml, as DVC has a matrix.
    """
    make_ready(folder, cells)
    project = read_project(folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(dict(project.params), sort_keys=False))
    dvc(folder, "config", "--unset", "core.no_scm")  # its experiments are commits, lock included
    ignored = (folder / ".gitignore").read_text(encoding="utf-8").replace("/dvc.lock\n", "")
    (folder / ".gitignore").write_text(ignored, encoding="utf-8")
    dvc(folder, "repro", "prefill", "models")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "shared stages")
    begin = time.monotonic()
    for cell in project.design.cells():
        dvc(folder, "exp", "run", "--queue", f"evaluate@{cell.name}")
    dvc(folder, "queue", "start", "-j", str(JOBS), BURN=str(seconds))
    while not all(state in ("Success", "Failed") for state in experiments(folder)):
        time.sleep(1)
    took = time.monotonic() - begin
    assert experiments(folder) == ["Success"] * cells, experiments(folder)
    assert sum(stage.startswith("train@") for stage in log(folder)) == cells
    return took


def experiments(folder: Path) -> list[str]:
    """The state of every experiment that was queued."""
    rows = json.loads(dvc(folder, "exp", "show", "--json", "--no-pager"))
    found: list[str] = []
    for row in rows:
        for one in row.get("experiments") or []:
            executor = one.get("executor") or {"state": "success"}
            found += [str(executor["state"]).capitalize()] * len(one["revs"])
    return found


def again(folder: Path) -> float:
    """Seconds in which a finished sweep says that there is nothing to do."""
    make_ready(folder, FINISHED)
    recap(folder, "sweep", "run", "--workers", str(JOBS))
    begin = time.monotonic()
    said = recap(folder, "sweep", "run")
    took = time.monotonic() - begin
    assert f"All {FINISHED} cells are recorded: nothing to do." in said, said
    return took


def make_ready(folder: Path, cells: int) -> None:
    """A clone with so many cells, two seeds of each variant; the shared stages have run."""
    others = [number / 100 for number in range(1, cells // 2)]
    make_sweep_project(folder, axes={"alpha": [0.5, *others]})
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "the sweep")


def real_cell_seconds() -> float:
    """The mean CPU seconds of the ablation's cells that were computed as a whole."""
    ledger = Ledger(ROOT / LEDGER)
    found: list[Cell] = list(read_project(ROOT).design.cells())
    known = [record for cell in found if (record := ledger.read(cell)) is not None]
    costs = [record.cost.cpu_seconds for record in known if record.cost.cpu_seconds is not None]
    return fmean(costs)


def dvc(folder: Path, *arguments: str, **variables: str) -> str:
    return run(folder, [sys.executable, "-m", "dvc", *arguments], **variables)


def git(folder: Path, *arguments: str) -> str:
    return run(folder, ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments])


def run(folder: Path, command: list[str], **variables: str) -> str:
    done: Any = subprocess.run(
        command,
        cwd=folder,
        env=surroundings(folder, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return str(done.stdout)


if __name__ == "__main__":
    main()
