"""``python -m flows reproduce|promote|rollback``: a flow with an API of its own around it.

Prefect is imported while the API starts. Leaves out deployments: there a worker loads the flow and
its server is known (infra/prefect.yaml).
"""

from __future__ import annotations

from typing import Annotated

import typer

from flows.server import start_api
from recap.cli import Guarded

app = typer.Typer(cls=Guarded, add_completion=False, pretty_exceptions_enable=False)


@app.command("reproduce")
def reproduce_command(
    workers: Annotated[int, typer.Option(min=1, help="Stages side by side.")] = 2,
) -> None:
    """Bring every stage up to date."""
    wait_until_up = start_api()
    from flows.reproduce import reproduce

    wait_until_up()
    reproduce(workers)


@app.command("promote")
def promote_command(
    version: Annotated[str | None, typer.Option(help="A version; default: the challenger.")] = None,
) -> None:
    """Make a version that passed its gate the champion."""
    wait_until_up = start_api()
    from flows.promote import promote

    wait_until_up()
    print(promote(version))


@app.command("rollback")
def rollback_command() -> None:
    """Bring the champion before this one back."""
    wait_until_up = start_api()
    from flows.promote import rollback

    wait_until_up()
    print(rollback())


if __name__ == "__main__":
    app()
