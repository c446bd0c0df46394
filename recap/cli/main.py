"""``recap``: run the pipeline, see what would run, look at results, promote, find what is wrong.

DVC, Prefect and MLflow are reached through child processes or imported inside a command, so that
``--help`` answers at once. Leaves out the work itself: stages, flows, publishing.
"""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from recap.errors import BusyError, DataError, ParameterError, RecapError, SpaceError
from recap.runtime.child import spare_this_machine

if TYPE_CHECKING:
    from recap.cli.publish import Receipt
    from recap.sweeps.design import Cell
    from recap.sweeps.ledger import Ledger
    from recap.sweeps.project import Project

ROOT = Path()
PARAMS = Path("params.yaml")


class Guarded(TyperGroup):
    """A command group that shows the user's errors as one message with their exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        spare_this_machine(os.environ)
        try:
            return super().invoke(ctx)
        except RecapError as error:
            _leave(error)
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES):
                _leave(
                    DataError(
                        f"Expected to write in {Path.cwd()}, got: {error}. Make the folder "
                        "writable, or use a clone in one that is."
                    )
                )
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                _leave(SpaceError(f"The disk is full: {error}. Free some space and run again."))
            raise


def _leave(error: RecapError) -> NoReturn:
    print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(error.exit_code)


app = typer.Typer(
    cls=Guarded,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train a reasoning model to recover from flawed thoughts, attack, gate and register it.",
)


@app.command()
def run(
    seed: Annotated[
        int | None, typer.Option(min=0, help="Write this seed into params.yaml before the run.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of stages in parallel.")] = 2,
) -> None:
    """Run every stale stage, publish to MLflow, and show the results."""
    from recap.cli.preflight import check_run
    from recap.pipeline.graph import read_pipeline
    from recap.pipeline.lock import read_commit
    from recap.runtime.locks import sole_run

    check_run(ROOT)
    with sole_run(ROOT):  # before a seed is written under a run, or DVC complains in its own words
        pass
    if missing := read_commit(ROOT).missing:
        print(f"No commit is recorded with these results: {missing}", file=sys.stderr)
    if seed is not None and write_seed(PARAMS, seed):
        print(f"params.yaml: seed is {seed} now")
    stale = read_pipeline(ROOT).stale()
    if stale:
        _child("-m", "flows", "reproduce", "--workers", str(workers))
    else:
        print("Everything is up to date.")
    _show_summary(_published())


@app.command()
def plan() -> None:
    """Show which stages changed, and which may run after them."""
    from rich.console import Console
    from rich.table import Table

    from recap.cli.preflight import check_run
    from recap.pipeline.graph import read_pipeline

    check_run(ROOT)
    pipeline = read_pipeline(ROOT)
    stale, changed = pipeline.stale(), len(pipeline.changed())
    if not stale:
        print("Everything is up to date.")
        return
    print(
        f"{changed} of {len(pipeline.nodes)} stages changed, {len(stale) - changed} more may follow"
    )
    table = Table("stage", "why")
    for name, reasons in stale.items():
        table.add_row(name, "; ".join(reasons))
    Console().print(table)


@app.command()
def report(
    browse: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
) -> None:
    """Show the last results and the path of the report; writes nothing."""
    from recap.cli.publish import last_receipt
    from recap.cli.summary import PAGE

    _show_summary(last_receipt(ROOT))
    if browse and not webbrowser.open((ROOT / PAGE).resolve().as_uri()):
        raise DataError(f"Expected a browser to open {PAGE}, found none. Open the file yourself.")


@app.command()
def export(
    inspect: Annotated[
        Path, typer.Option("--inspect", help="New folder for Inspect AI logs (mode 0700).")
    ],
    cell: Annotated[
        list[str] | None,
        typer.Option(help="Export only this cell, e.g. recap-0; repeatable. Default: all."),
    ] = None,
) -> None:
    """Write every sample with its verdict as logs for `inspect view --log-dir`."""
    from recap.cli.inspect_log import export_matrix

    logs = export_matrix(ROOT, inspect, cell or [])
    print(f"{len(logs)} logs in {inspect}: `inspect view --log-dir {inspect}` opens them")
    print(
        "They hold harmful prompts and answers in clear text: keep the folder to yourself.",
        file=sys.stderr,
    )


Follow = Annotated[
    bool,
    typer.Option("--follow", help="Mirror live metrics until standard input ends, then publish."),
]


@app.command()
def publish(
    live: Follow = False,
) -> None:
    """Write runs and the candidate's version to MLflow from the files (idempotent)."""
    from recap.cli import publish as publishing

    if live:
        publishing.follow(ROOT, _input_ended(), print)
    receipt = publishing.publish(ROOT)
    version = f"{receipt.model} version {receipt.version}" if receipt.version else "no version yet"
    aliases = f" ({', '.join(receipt.aliases)})" if receipt.aliases else ""
    print(f"MLflow holds {len(receipt.runs)} runs and {version}{aliases}")


@app.command()
def lineage(
    target: Annotated[str, typer.Argument(help="Version number, alias, cell or run id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the model, data, code, parameters and prefills behind a version or a run."""
    from recap.tracking.lineage import told, trace

    found = trace(ROOT, target)
    print(json.dumps(found, indent=1) if as_json else "\n".join(told(found)))


sweep_app = typer.Typer(cls=Guarded, no_args_is_help=True, help="Plan, run and report ablations.")
app.add_typer(sweep_app, name="sweep")

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
            with sole_run(project.folder):  # DVC answers nothing about a project at work
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
    _child("-m", "flows", *how, *chosen)


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
        publishing.follow_sweep(ROOT, _input_ended(), print)
    print(f"MLflow holds {publishing.publish_sweep(ROOT)} cells of the sweep")


@sweep_app.command("repeat")
def sweep_repeat(
    cell: Annotated[str, typer.Argument(help="Name of the cell, e.g. recap-0.")],
) -> None:
    """Compute a finished cell again; writes docs/results/determinism.md on bit equality."""
    _child("-m", "experiments.repeat", cell)


def _sweep(axis: list[str] | None, seeds: str | None) -> tuple[Project, Ledger, list[Cell]]:
    """The sweep of this clone, what is recorded of it, and the chosen cells."""
    from recap.sweeps.ledger import LEDGER, Ledger
    from recap.sweeps.project import read_project

    project = read_project(ROOT)
    return project, Ledger(ROOT / LEDGER), list(project.design.cells(axis or [], _numbers(seeds)))


def _numbers(text: str | None) -> list[int]:
    """``0,2`` as numbers."""
    parts = [part for part in re.split(r"[,\s]+", text or "") if part]
    if not all(part.isdigit() for part in parts):
        raise ParameterError(f"Expected seeds as numbers, e.g. --seeds 0,2, got '{text}'.")
    return [int(part) for part in parts]


@app.command()
def promote(
    version: Annotated[
        str | None, typer.Option(help="Version to promote. Default: the challenger.")
    ] = None,
    override: Annotated[
        str | None,
        typer.Option(
            metavar="REASON", help="Promote despite a refusal; the history records the reason."
        ),
    ] = None,
) -> None:
    """Make a version the champion if it passed its gate and is no worse than the champion."""
    chosen = [f"--version={version}"] if version else []
    chosen += [f"--override={override}"] if override is not None else []
    _child("-m", "flows", "promote", *chosen)


@app.command()
def rollback() -> None:
    """Restore the previous champion."""
    _child("-m", "flows", "rollback")


@app.command()
def journey() -> None:
    """Write docs/a-rows-journey.md: real rows at every step from raw row to gate."""
    _child("-m", "recap.report.journey", "--out", "docs/a-rows-journey.md")


@app.command()
def judge(
    file: Annotated[
        Path, typer.Argument(help="CSV or JSON Lines with prompt, completion, and target for math.")
    ],
    judge: Annotated[
        str, typer.Option(help="Name of the judge: refusal, math, guardian, oracle, ...")
    ],
    label: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Measure agreement with the labels in this column."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the verdicts. Default: FILE.verdicts.jsonl.")
    ] = None,
    guardian: Annotated[
        Path, typer.Option(help="Directory of the guardian model, for --judge guardian.")
    ] = Path("models/guardian"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Judge a file of completions, and measure agreement with your labels."""
    arguments = [f"--judge={judge}", f"--guardian={guardian}"]
    arguments += [f"--label={label}"] if label is not None else []
    arguments += [f"--out={out}"] if out is not None else []
    arguments += ["--json"] if as_json else []
    _child("-m", "recap.cli.judge", *arguments, "--", str(file))


@app.command()
def doctor() -> None:
    """Find problems of this machine or clone and say how to fix them; exit code 1 if any."""
    from rich.console import Console

    from recap.cli.doctor import examine

    console, ill = Console(), False
    for finding in examine(ROOT):
        mark = "[red]mend[/]" if finding.fix else "[green]well[/]"
        console.print(f"{mark}  {finding.subject}: {finding.found}", highlight=False)
        if finding.fix:
            console.print(f"      {finding.fix}", highlight=False, markup=False)
        ill = ill or bool(finding.fix)
    raise typer.Exit(int(ill))


def write_seed(path: Path, seed: int) -> bool:
    """Set the top-level ``seed`` in place, comments kept; returns whether it changed."""
    from recap.rows import atomic_path

    text = path.read_text(encoding="utf-8")
    changed, found = re.subn(
        r"^seed:\s*\d+(?P<rest>.*)$", rf"seed: {seed}\g<rest>", text, flags=re.MULTILINE
    )
    if found != 1:
        raise ParameterError(
            f"Expected one line `seed: <number>` in {path}, got {found}. Set the seed by hand."
        )
    if changed != text:
        with atomic_path(path) as part:
            part.write_text(changed, encoding="utf-8")
    return changed != text


def _published() -> Receipt | None:
    """What tracking holds, published if it may lack something; a store that fails is a warning."""
    from recap.cli.publish import last_receipt, read_receipt
    from recap.tracking.store import database

    receipt = last_receipt(ROOT)
    if receipt is not None and database(ROOT) is not None:
        return receipt  # of a server nobody knows what it holds now
    published = _start("-m", "recap", "publish").wait() == 0
    return read_receipt(ROOT) if published else None


def _show_summary(receipt: Receipt | None) -> None:
    from rich.console import Console

    from recap.cli.summary import show_summary

    wide = None if sys.stdout.isatty() else 120  # a log has no width of its own
    show_summary(ROOT, receipt, Console(width=wide))


def _input_ended() -> Callable[[], bool]:
    """Whether standard input has ended, from now on; it is read in the background."""
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    return ended.is_set


def _start(*arguments: str) -> subprocess.Popen[str]:
    from recap.runtime.child import start

    return start(arguments)


def _child(*arguments: str) -> None:
    """Run ``python ARGUMENTS…`` to its end; its failure is ours, its message was the last line."""
    process = _start(*arguments)
    try:
        code = process.wait()
    except KeyboardInterrupt:  # the child got it too and puts its things in order
        process.wait()
        code = 130
    if code:
        raise typer.Exit(code if code > 0 else 128 - code)
