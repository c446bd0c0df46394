"""``recap sweep``: plan, run, report and publish the ablation; repeat a cell."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from recap.cli.command import ROOT, Follow, Guarded, input_ended, run_python
from recap.errors import BusyError, ParameterError

if TYPE_CHECKING:
    from recap.sweeps.design import Cell
    from recap.sweeps.ledger import Ledger
    from recap.sweeps.project import Project

sweep_app = typer.Typer(cls=Guarded, no_args_is_help=True, help="Plan, run and report ablations.")

Axes = Annotated[list[str] | None, typer.Option("--axis", help="Use only this axis; repeatable.")]
Seeds = Annotated[
    str | None, typer.Option(help="Use only these seeds, e.g. 0,2. Default: sweep.seeds.")
]


@sweep_app.command("plan")
def sweep_plan(axis: Axes = None, seeds: Seeds = None) -> None:
    """Show the cells of the sweep, which are recorded, and how long the rest takes."""
    from rich.console import Console

    from recap.pipeline.graph import read_pipeline
    from recap.runtime.locks import sole_run
    from recap.sweeps.plan import computed_cells, make_plan, show_plan

    project, ledger, cells = _sweep(axis, seeds)
    plan = make_plan(project, ledger, cells, ())
    if plan.left() and project.written():
        try:
            with sole_run(project.folder):  # DVC cannot read a project while it runs
                pass
        except BusyError:
            print("A sweep is under way here; what it finishes is recorded at once.")
        else:
            stale = read_pipeline(project.folder).stale()
            plan = make_plan(project, ledger, cells, computed_cells(project, stale))
    show_plan(plan, Console(width=None if sys.stdout.isatty() else 120))


@sweep_app.command("run")
def sweep_run(
    axis: Axes = None,
    seeds: Seeds = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Number of cells in parallel on this machine.")
    ] = 2,
    pool: Annotated[
        str | None, typer.Option(help="Run on this Prefect work pool; ignores --workers.")
    ] = None,
) -> None:
    """Run every cell without a record; writes records to experiments/records/microworld."""
    from recap.sweeps.plan import make_plan

    project, ledger, cells = _sweep(axis, seeds)
    if not make_plan(project, ledger, cells, ()).left():
        print(f"All {len(cells)} cells are recorded: nothing to do.")
        return
    chosen = [f"--axis={name}" for name in axis or []]
    chosen += [f"--seed={seed}" for seed in _numbers(seeds)]
    how = ["sweep-pool", f"--pool={pool}"] if pool else ["sweep", f"--workers={workers}"]
    run_python("-m", "flows", *how, *chosen)


@sweep_app.command("report")
def sweep_report() -> None:
    """Write docs/results/microworld.md: tables, pictures, verdicts on the claims, costs."""
    from recap.sweeps.page import write_page

    print(write_page(ROOT))


@sweep_app.command("publish")
def sweep_publish(
    live: Follow = False,
) -> None:
    """Write the recorded cells to MLflow, as child runs of the sweep (idempotent)."""
    from recap.cli import publish as publishing

    if live:
        publishing.follow_sweep(ROOT, input_ended(), print)
    print(f"MLflow holds {publishing.publish_sweep(ROOT)} cells of the sweep")


@sweep_app.command("repeat")
def sweep_repeat(
    cell: Annotated[str, typer.Argument(help="Name of the cell, e.g. recap-0.")],
) -> None:
    """Compute a finished cell again; writes docs/results/determinism.md on bit equality."""
    run_python("-m", "experiments.repeat", cell)


def _sweep(axis: list[str] | None, seeds: str | None) -> tuple[Project, Ledger, list[Cell]]:
    """The sweep of this clone, its ledger, and the chosen cells."""
    from recap.sweeps.ledger import LEDGER, Ledger
    from recap.sweeps.project import read_project

    project = read_project(ROOT)
    return project, Ledger(ROOT / LEDGER), list(project.design.cells(axis or [], _numbers(seeds)))


def _numbers(text: str | None) -> list[int]:
    """Parses ``0,2``."""
    parts = [part for part in re.split(r"[,\s]+", text or "") if part]
    if not all(part.isdigit() for part in parts):
        raise ParameterError(f"Expected seeds as numbers, e.g. --seeds 0,2, got '{text}'.")
    return [int(part) for part in parts]
