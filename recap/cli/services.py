"""``recap services``: a team's servers on this machine, up, down, kept and restored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recap.cli.command import ROOT, Guarded

if TYPE_CHECKING:
    from recap.services.place import Place

services_app = typer.Typer(
    cls=Guarded,
    no_args_is_help=True,
    help="Run PostgreSQL, an S3 store, MLflow, Prefect and a worker on this machine.",
)

Folder = Annotated[Path, typer.Option(help="Folder of data, secrets and logs.")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Default: the last one.")]
StorePort = Annotated[
    int | None,
    typer.Option(min=1, max=65528, help="The first of eight in a row. Default: the last one."),
]
Guardian = Annotated[
    Path | None,
    typer.Option(metavar="MODEL", help="Have a vLLM server judge with it. Default: as last time."),
]
FOLDER = Path("services")
REMOTE = "dvc remote add --local --default store s3://recap/dvc"
"""Name and key come from the environment: no file of DVC has them."""


@services_app.command("up")
def services_up(
    folder: Folder = FOLDER,
    postgres_port: Port = None,
    store_port: StorePort = None,
    mlflow_port: Port = None,
    prefect_port: Port = None,
    guardian: Guardian = None,
    no_guardian: Annotated[bool, typer.Option("--no-guardian", help="None any more.")] = False,
    guardian_port: Port = None,
) -> None:
    """Start what does not run, wait until all are healthy, and say how to use them."""
    from recap.errors import ParameterError
    from recap.services.place import Place, Ports
    from recap.services.stack import up

    place = Place(folder.resolve())
    before = place.ports() if place.made else Ports()
    ports = Ports(
        postgres=postgres_port or before.postgres,
        store=store_port or before.store,
        mlflow=mlflow_port or before.mlflow,
        prefect=prefect_port or before.prefect,
        guardian=guardian_port or before.guardian,
    )
    model = guardian.resolve() if guardian else place.guardian
    if guardian and not (guardian / "config.json").is_file():
        raise ParameterError(
            f"Expected the folder of a guardian's model, with a config.json, got {guardian}."
        )
    up(place, ports, None if no_guardian else model, ROOT.resolve(), _say)
    print(f"All are healthy. To use them in this shell:\n\n    . {place.exports}\n")
    print(f"Once in each clone that keeps its results in the store:\n\n    {REMOTE}\n")


@services_app.command("status")
def services_status(folder: Folder = FOLDER) -> None:
    """Say of each service whether it is healthy; exit code 1 if one is not."""
    from recap.services.processes import found, memory
    from recap.services.servers import address, ailment, services

    place, ill = _known(folder), False
    for service in services(place.guardian):
        processes = found(place, service)
        why = ailment(place, service) if processes else "it does not run"
        ill = ill or why is not None
        size = f"{len(processes)} processes, {memory(processes) / 1e6:.0f} MB"
        print(f"{service}: {why or f'healthy at {address(place, service)}, {size}'}")
    raise typer.Exit(int(ill))


@services_app.command("down")
def services_down(folder: Folder = FOLDER) -> None:
    """End all services and their children; data stay."""
    from recap.services.stack import down

    down(_known(folder), _say)


@services_app.command("backup")
def services_backup(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="New folder (mode 0700).")],
    folder: Folder = FOLDER,
) -> None:
    """Copy databases, objects, artifacts and secrets into a new folder while the services run."""
    from recap.services.stack import backup

    backup(_known(folder), target.resolve())
    print(f"{target} holds a copy, secrets included: keep it to yourself.")


@services_app.command("restore")
def services_restore(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a backup.")],
    folder: Folder = FOLDER,
) -> None:
    """Make the services' folder anew from a backup."""
    from recap.services.place import Place
    from recap.services.stack import restore

    restore(Place(folder.resolve()), source.resolve(), _say)
    print(f"{folder} is as {source} was. `recap services up` starts the services.")


@services_app.command("import")
def services_import() -> None:
    """Bring versions, history and champion of mlflow.db to MLFLOW_TRACKING_URI, then publish."""
    from recap.cli import publish as publishing

    moves = publishing.adopt(ROOT)
    runs = publishing.publish(ROOT).runs
    print(f"The server holds {moves} moves of the champion and {len(runs)} runs")


def _known(folder: Path) -> Place:
    from recap.errors import ServiceError
    from recap.services.place import Place as Folder

    place = Folder(folder.resolve())
    if not place.made:
        raise ServiceError(f"Expected services in {place.root}, found none: `recap services up`.")
    return place


def _say(line: str) -> None:
    print(line, flush=True)
