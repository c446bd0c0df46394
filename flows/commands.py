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
    workers: Annotated[int, typer.Option(min=1, help="Stages side by side.")] = 2,
) -> None:
    """Bring every stage up to date."""
    wait_until_up = start_api()
    from flows.reproduce import reproduce

    wait_until_up()
    with api_stays_up():
        reproduce(workers)


@app.command("sweep")
def sweep_command(
    workers: Annotated[int, typer.Option(min=1, help="Cells side by side.")] = 2,
    axis: Annotated[list[str] | None, typer.Option(help="Only this axis; may be repeated.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed; repeatable.")] = None,
) -> None:
    """Run the cells of the ablation that are not recorded."""
    wait_until_up = start_api()
    from flows.sweep import sweep

    wait_until_up()
    with api_stays_up():
        sweep(workers, axis or [], seed or [])


@app.command("sweep-pool")
def sweep_pool_command(
    pool: Annotated[str, typer.Option(help="A work pool of the server in PREFECT_API_URL.")],
    axis: Annotated[list[str] | None, typer.Option(help="Only this axis; may be repeated.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed; repeatable.")] = None,
    lease: Annotated[
        float, typer.Option(min=5, help="Seconds until a silent worker counts as dead.")
    ] = 60.0,
) -> None:
    """Have the sweep's cells done by a pool's workers, then restored here."""
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
    version: Annotated[str | None, typer.Option(help="A version; default: the challenger.")] = None,
    override: Annotated[str | None, typer.Option(help="Why, though it would be refused.")] = None,
) -> None:
    """Make a version that passed its gate the champion."""
    check_store(Path())
    wait_until_up = start_api()
    from flows.promote import promote

    wait_until_up()
    with api_stays_up():
        print(promote(version, override))


@app.command("rollback")
def rollback_command() -> None:
    """Bring the champion before this one back."""
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
