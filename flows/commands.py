"""The commands of ``python -m flows``: a flow with an API of its own around it.

Prefect is imported while the API starts. ``sweep-pool`` needs the server that its workers are
connected to. Leaves out deployments: there a worker loads the flow and its server is known
(infra/prefect.yaml).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import httpx
import typer

from flows.server import start_api
from recap.cli.command import Guarded
from recap.errors import PipelineError
from recap.tracking.registry import check_store

app = typer.Typer(cls=Guarded, add_completion=False, pretty_exceptions_enable=False)


@app.command("reproduce")
def reproduce_command(
    workers: Annotated[int, typer.Option(min=1, help="Number of stages in parallel.")] = 2,
) -> None:
    """Run every stale stage."""
    wait_until_up = start_api()
    from flows.reproduce import reproduce

    wait_until_up()
    with api_stays_up():
        reproduce(workers)


@app.command("sweep")
def sweep_command(
    workers: Annotated[int, typer.Option(min=1, help="Number of cells in parallel.")] = 2,
    axis: Annotated[list[str] | None, typer.Option(help="Use only this axis; repeatable.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Use only this seed; repeatable.")] = None,
) -> None:
    """Run every cell of the sweep without a record."""
    wait_until_up = start_api()
    from flows.sweep import sweep

    wait_until_up()
    with api_stays_up():
        sweep(workers, axis or [], seed or [])


@app.command("sweep-pool")
def sweep_pool_command(
    pool: Annotated[str, typer.Option(help="Work pool of the server in PREFECT_API_URL.")],
    axis: Annotated[list[str] | None, typer.Option(help="Use only this axis; repeatable.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Use only this seed; repeatable.")] = None,
    lease: Annotated[
        float, typer.Option(min=5, help="Seconds without a heartbeat after which a worker is dead.")
    ] = 60.0,
) -> None:
    """Run the sweep's cells on the workers of a pool, and restore the results here."""
    if not os.environ.get("PREFECT_API_URL"):
        raise PipelineError(
            "Expected PREFECT_API_URL to name the Prefect server whose pool shall work, got "
            "nothing. Start one (prefect server start) and export its URL."
        )
    start_api()  # only the settings: the server is there
    from flows.mirror import Mirror
    from flows.pool import run_on_pool
    from recap.sweeps.project import read_project

    project = read_project(Path.cwd())
    with api_stays_up(), Mirror("sweep", "publish"):
        run_on_pool(project, project.design.cells(axis or (), seed or ()), pool, lease=lease)


@app.command("promote")
def promote_command(
    version: Annotated[
        int | None, typer.Option(min=1, help="Version to promote. Default: the challenger.")
    ] = None,
    override: Annotated[
        str | None, typer.Option(help="Promote despite a refusal, for this reason.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Promote at once, without approval.")] = False,
) -> None:
    """Make a version the champion if it passed its gate and is no worse than the champion."""
    check_store(Path())
    if not yes and not os.environ.get("PREFECT_API_URL"):
        raise PipelineError(
            "Expected --yes, or PREFECT_API_URL to name the Prefect server in whose UI a person "
            "approves, got neither. Nothing was promoted."
        )
    wait_until_up = start_api()
    from flows.promote import promote

    wait_until_up()
    with api_stays_up():
        print(promote(version, override, approved=yes))


@app.command("rollback")
def rollback_command() -> None:
    """Restore the previous champion."""
    check_store(Path())
    wait_until_up = start_api()
    from flows.promote import rollback

    wait_until_up()
    with api_stays_up():
        print(rollback())


@contextlib.contextmanager
def api_stays_up() -> Iterator[None]:
    """Say in words that the API was lost in mid-run; stages end all the same, unreported."""
    try:
        yield
    except httpx.TransportError as error:
        raise PipelineError(
            f"Expected the Prefect API at {os.environ.get('PREFECT_API_URL')} to stay up, but it "
            f"is gone ({error}). What was done is in the files; run again to go on."
        ) from error
