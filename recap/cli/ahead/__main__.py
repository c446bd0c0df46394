"""``python -m recap.cli.ahead``: the process that answers ``recap run --dry-run``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from recap.cli.ahead.options import Asked
from recap.cli.ahead.page import print_ahead
from recap.cli.command import ROOT, Guarded

app = typer.Typer(cls=Guarded, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def group() -> None:
    """One command, in a group that shows errors as one message."""


@app.command()
def ahead(
    profile: Annotated[str | None, typer.Option()] = None,
    quick: Annotated[bool, typer.Option()] = False,
    hardware: Annotated[str | None, typer.Option()] = None,
) -> None:
    """Print what a run would do and need."""
    print_ahead(ROOT, Asked(profile, quick, hardware), sys.stdout)


if __name__ == "__main__":
    app(["ahead", *sys.argv[1:]])
