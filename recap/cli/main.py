"""The ``recap`` command: run the pipeline, plan, show results, promote, find problems.

Commands use DVC, Prefect and MLflow in child processes or import them when they run, so that
``--help`` is fast. Leaves out the work itself: stages, flows, publishing.
"""

from __future__ import annotations

import json
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recap.cli.command import ROOT, Follow, Guarded, input_ended, run_python, start_python
from recap.cli.deploy import deploy
from recap.cli.profiles import ProfileName, Quick, in_project, profile_app
from recap.cli.services import services_app
from recap.cli.sweep import sweep_app
from recap.errors import DataError, ParameterError

if TYPE_CHECKING:
    from recap.cli.publish import Receipt

PARAMS = Path("params.yaml")


app = typer.Typer(
    cls=Guarded,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train a reasoning model to recover from flawed thoughts, attack, gate and register it.",
)
app.add_typer(sweep_app, name="sweep")
app.add_typer(profile_app, name="profile")
app.add_typer(services_app, name="services")
app.command()(deploy)


@app.command()
def run(
    seed: Annotated[
        int | None, typer.Option(min=0, help="Write this seed into params.yaml before the run.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of stages in parallel.")] = 2,
    profile: ProfileName = None,
    quick: Quick = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the run does and needs; start nothing.")
    ] = False,
    hardware: Annotated[
        str | None, typer.Option(help="With --dry-run: devices, as for `recap estimate`.")
    ] = None,
) -> None:
    """Run every stale stage, publish to MLflow, and show the results."""
    if dry_run or hardware is not None:
        from recap.cli.ahead.options import Asked, arguments

        run_python(
            "-m", "recap.cli.ahead", *arguments(Asked(profile, quick, hardware, seed, dry_run))
        )
        return
    if profile is not None and seed is not None:
        raise ParameterError(
            f"Expected --profile {profile} without --seed: it has "
            f"{'params.yaml' if profile == 'debug' else 'the profile'}'s."
        )
    if profile == "debug":
        run_python("-m", "recap.cli.debug")
        return
    if in_project(profile, quick, "run", f"--workers={workers}"):
        return
    from recap.cli.preflight import check_launch, prepare_run
    from recap.cli.seed import write_seed
    from recap.pipeline.graph import read_pipeline
    from recap.pipeline.lock import read_commit
    from recap.runtime.locks import sole_run

    params = prepare_run(ROOT)
    with sole_run(ROOT):  # first, so that no seed is written during another run
        pass
    if missing := read_commit(ROOT).missing:
        print(f"No commit is recorded with these results: {missing}", file=sys.stderr)
    if seed is not None and write_seed(PARAMS, seed):
        print(f"params.yaml: seed is {seed} now")
    stale = read_pipeline(ROOT).stale()
    check_launch(params, stale)
    if stale:
        run_python("-m", "flows", "reproduce", "--workers", str(workers))
    else:
        print("Everything is up to date.")
    _show_summary(_published())


@app.command()
def plan(profile: ProfileName = None, quick: Quick = False) -> None:
    """Show which stages changed, and which may run after them."""
    if in_project(profile, quick, "plan"):
        return
    from rich.console import Console
    from rich.table import Table

    from recap.cli.preflight import prepare_run
    from recap.pipeline.graph import read_pipeline

    prepare_run(ROOT)
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
def estimate(
    hardware: Annotated[
        str, typer.Option(help="Devices as COUNTxNAME, e.g. 8xH100 (infra/hardware.yaml).")
    ],
    profile: Annotated[
        str | None, typer.Option(help="Estimate this profile. Default: params.yaml.")
    ] = None,
    length: Annotated[
        float | None,
        typer.Option(min=1, help="Tokens of a rollout on average. Default: half of the longest."),
    ] = None,
    kept: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Share of groups that dynamic sampling keeps.")
    ] = 0.5,
    price: Annotated[
        float | None, typer.Option(min=0.0, help="Price of a device for an hour.")
    ] = None,
) -> None:
    """Work out the memory, hours and cost of training; exit code 2 if it does not fit."""
    from rich.console import Console

    from recap.cli.estimate import Request, print_estimate

    console = Console(width=None if sys.stdout.isatty() else 100)
    print_estimate(ROOT, profile, Request(hardware, length, kept, price), console)


@app.command()
def report(
    browse: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
    profile: ProfileName = None,
    quick: Quick = False,
) -> None:
    """Show the last results and the path of the report; writes nothing."""
    if in_project(profile, quick, "report", *(["--open"] if browse else [])):
        return
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


@app.command()
def publish(
    live: Follow = False,
) -> None:
    """Write runs and the candidate's version to MLflow from the files (idempotent)."""
    from recap.cli import publish as publishing

    if live:
        publishing.follow(ROOT, input_ended(), print)
    receipt = publishing.publish(ROOT)
    version = f"{receipt.model} version {receipt.version}" if receipt.version else "no version yet"
    aliases = f" ({', '.join(receipt.aliases)})" if receipt.aliases else ""
    print(f"MLflow holds {len(receipt.runs)} runs and {version}{aliases}")


@app.command()
def keep(
    cell: Annotated[str, typer.Argument(help="Cell of the last run, e.g. recap-0.")],
    profile: ProfileName = None,
    quick: Quick = False,
) -> None:
    """Keep the attacks that succeeded against a cell, so that later runs replay them."""
    if not in_project(profile, quick, "keep", cell):
        run_python("-m", "recap.cli.keep", cell)


@app.command()
def watch(
    target: Annotated[
        str, typer.Argument(help="Version number, alias or models:/ address.")
    ] = "champion",
    number: Annotated[
        int | None, typer.Option(min=1, help="Seed and number of the attack. Default: today's.")
    ] = None,
) -> None:
    """Attack a registered version anew and compare with its registration; exit code 2 at alarms."""
    options = [] if number is None else [f"--number={number}"]
    run_python("-m", "recap.cli.watch", target, *options)


@app.command()
def lineage(
    target: Annotated[str, typer.Argument(help="Version number, alias, cell or run id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the model, data, code, parameters and prefills behind a version or a run."""
    from recap.tracking.lineage import told, trace

    found = trace(ROOT, target)
    print(json.dumps(found, indent=1) if as_json else "\n".join(told(found)))


@app.command()
def pull(
    target: Annotated[str, typer.Argument(help="Version number, alias or models:/ address.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the model.")],
) -> None:
    """Write a version's verified Hugging Face folder, with its model card."""
    from recap.tracking.pull import pull as pulled
    from recap.tracking.pull import registered

    version = registered(ROOT, target)
    pulled(ROOT, version, out)
    size = sum(file.size for file in version.manifest.files)
    print(f"version {version.number}: {size / 1e6:,.1f} MB in {out}")
    print(f"`python -m vllm.entrypoints.openai.api_server --model {out}` serves it")


@app.command()
def card(
    target: Annotated[str, typer.Argument(help="Version number, alias or models:/ address.")],
) -> None:
    """Print a version's model card."""
    from recap.tracking.pull import registered

    print(registered(ROOT, target).card, end="")


@app.command()
def history() -> None:
    """Show who registered, promoted and rolled back which version, when and why."""
    from recap.tracking.moves import told

    print("\n".join(told(ROOT)))


@app.command()
def promote(
    version: Annotated[
        int | None, typer.Option(min=1, help="Version to promote. Default: the challenger.")
    ] = None,
    override: Annotated[
        str | None,
        typer.Option(
            metavar="REASON", help="Promote despite a refusal; the history records the reason."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Promote at once; else a person approves in Prefect's UI.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")
    ] = False,
) -> None:
    """Make a version the champion if it passed its gate and is no worse than the champion."""
    if dry_run:
        from recap.tracking.moves import would_promote

        print(would_promote(ROOT, str(version) if version else None, override))
        return
    chosen = [f"--version={version}"] if version else []
    chosen += [f"--override={override}"] if override is not None else []
    chosen += ["--yes"] if yes else []
    run_python("-m", "flows", "promote", *chosen)


@app.command()
def rollback() -> None:
    """Restore the previous champion."""
    run_python("-m", "flows", "rollback")


@app.command()
def journey() -> None:
    """Write docs/a-rows-journey.md: real rows at every step from raw row to gate."""
    run_python("-m", "recap.report.journey", "--out", "docs/a-rows-journey.md")


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
    record: Annotated[
        Path | None,
        typer.Option(help="Keep the agreement in this file, by judge, revision and labels."),
    ] = None,
) -> None:
    """Judge a file of completions, and measure agreement with your labels."""
    arguments = [f"--judge={judge}", f"--guardian={guardian}"]
    arguments += [f"--label={label}"] if label is not None else []
    arguments += [f"--out={out}"] if out is not None else []
    arguments += ["--json"] if as_json else []
    arguments += [f"--record={record}"] if record is not None else []
    run_python("-m", "recap.cli.judge", *arguments, "--", str(file))


@app.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
def exp(
    arguments: Annotated[list[str], typer.Argument(help="What follows `dvc exp`.")],
) -> None:
    """Run `dvc exp ARGUMENTS` beside this clone, with its files, last run and cache."""
    from recap.cli.exp import experiment

    raise typer.Exit(experiment(ROOT, tuple(arguments)))


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


def _published() -> Receipt | None:
    """The receipt of publishing, after publishing if it is stale; a failing store is a warning."""
    from recap.cli.publish import last_receipt, read_receipt
    from recap.tracking.store import database

    receipt = last_receipt(ROOT)
    if receipt is not None and database(ROOT) is not None:
        return receipt  # a server's present content is unknown
    published = start_python("-m", "recap", "publish").wait() == 0
    return read_receipt(ROOT) if published else None


def _show_summary(receipt: Receipt | None) -> None:
    from rich.console import Console

    from recap.cli.summary import show_summary

    wide = None if sys.stdout.isatty() else 120  # a log file has no width
    show_summary(ROOT, receipt, Console(width=wide))
