"""``recap profile``, and the options ``--profile`` and ``--quick`` of other commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from recap.cli.command import ROOT, Guarded, run_python
from recap.errors import ParameterError

profile_app = typer.Typer(
    cls=Guarded, no_args_is_help=True, help="List, show, compare and use parameter files."
)
ProfileName = Annotated[
    str | None,
    typer.Option(
        help="Use this profile, in a project of its own (.recap/NAME); debug: overfit one batch."
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="With --profile: its short run.")]


def in_project(profile: str | None, quick: bool, *command: str) -> bool:
    """Run ``recap COMMAND…`` in the profile's project; False without a profile.

    Exits with the command's code unless it is 0.
    """
    if profile is None:
        if quick:
            raise ParameterError("Expected --profile NAME with --quick, got --quick alone.")
        return False
    from recap.cli.profile import write_profile

    folder = write_profile(ROOT, profile, quick=quick)
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    print(f"profile {profile}: models, results and page are in {shown}", file=sys.stderr)
    run_python("-m", "recap", *command, folder=folder)
    return True


@profile_app.command("list")
def profile_list() -> None:
    """List the profiles, with the first line of each file."""
    from recap.cli.profile import PROFILES, profile_names

    for name in profile_names(ROOT):
        with (ROOT / PROFILES / f"{name}.yaml").open(encoding="utf-8") as stream:
            print(f"{name:12} {stream.readline().lstrip('# ').rstrip()}")


@profile_app.command("show")
def profile_show(name: Annotated[str, typer.Argument(help="Name of the profile.")]) -> None:
    """Print a profile."""
    from recap.cli.profile import PROFILES, profile_values

    profile_values(ROOT, name)
    print((ROOT / PROFILES / f"{name}.yaml").read_text(encoding="utf-8"), end="")


@profile_app.command("diff")
def profile_diff(
    name: Annotated[str, typer.Argument(help="Name of the profile.")],
    other: Annotated[
        str | None, typer.Argument(help="Another profile. Default: params.yaml.")
    ] = None,
) -> None:
    """Show the keys in which a profile differs from params.yaml or from another profile."""
    from rich.console import Console
    from rich.table import Table

    from recap.cli.profile import differences, profile_values
    from recap.params.document import read_document

    second = read_document(ROOT / "params.yaml") if other is None else profile_values(ROOT, other)
    table = Table()
    for heading in ("key", name, other or "params.yaml"):
        table.add_column(heading, overflow="fold")
    for row in differences(profile_values(ROOT, name), second):
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 80).print(table)


@profile_app.command("use")
def profile_use(
    name: Annotated[str, typer.Argument(help="Name of the profile.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace a params.yaml with changes of yours.")
    ] = False,
) -> None:
    """Make a profile the clone's params.yaml."""
    from recap.cli.profile import use_profile

    use_profile(ROOT, name, force=force)
    print(f"params.yaml is the profile {name} now")
