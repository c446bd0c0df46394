"""The services together: up, down, backup, restore.

Each step finds what the last one left, killed or not, so that ``up`` may be called at any time.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from recap.errors import DataError, ServiceError
from recap.rows import read_json, write_json
from recap.runtime.locks import exclusive
from recap.services import postgres, schema, store
from recap.services.place import DATABASES, OWNER, Place, Ports, prepare
from recap.services.processes import check_port, found, last_words, stop
from recap.services.servers import LISTENING, address, ailment, launch, services
from recap.types.row import Row

PATIENCE = 300.0
"""Seconds until a service that does not answer counts as failed; 5 to 60 are usual."""
Say = Callable[[str], None]


class Copy(Row):
    """What a backup holds: the sha256 of each file, by its path."""

    files: dict[str, str]


def up(place: Place, ports: Ports, guardian: Path | None, clone: Path, say: Say) -> None:
    """Bring up what is not up and wait until all are healthy; raises ServiceError at the first that
    does not get there.

    ``guardian``: a model that a vLLM server shall have, or ``None`` for no such server.
    """
    place.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with exclusive(place.root / "up.lock", busy=_BUSY):
        running = [service for service in services(place.guardian) if found(place, service)]
        if running and place.ports() != ports:
            raise ServiceError(
                f"Expected the ports of the services that run ({place.ports()}), got others "
                f"({ports}). Run `recap services down` first."
            )
        if running and place.guardian != guardian:  # the worker's stages know what there was
            raise ServiceError(
                f"Expected the guardian of the services that run ({place.guardian or 'none'}), "
                f"got {guardian or 'none'}. Run `recap services down` first."
            )
        wanted = services(guardian)
        for service in LISTENING:
            if service in wanted and service not in running:
                for port in ports.of(service):
                    check_port(service, port)
        prepare(place, ports, guardian)
        _up_database(place, say)
        if "mlflow" not in running:
            schema.upgrade(place, say)
        # These start at the same time; the worker needs Prefect.
        together = [service for service in wanted if service in ("mlflow", "prefect", "guardian")]
        for service in together:
            _begin(place, service, clone, say)
        _up_store(place, say)
        for service in together:
            _await(place, service)
        _begin(place, "worker", clone, say)
        _await(place, "worker")


def _up_database(place: Place, say: Say) -> None:
    postgres.make_cluster(place)
    _begin(place, "postgres", place.root, say)
    _await(place, "postgres", lambda: _no_database(place))
    postgres.make_databases(place)
    _await(place, "postgres")


def _up_store(place: Place, say: Say) -> None:
    _begin(place, "store", place.root, say)
    _await(place, "store", lambda: store.unready(place))
    store.make_bucket(place)
    _await(place, "store")


def _no_database(place: Place) -> str | None:
    try:
        postgres.run_sql(place, OWNER, "postgres", "SELECT 1")
    except ServiceError as error:
        return str(error)
    return None


def _begin(place: Place, service: str, clone: Path, say: Say) -> None:
    if found(place, service):
        say(f"{service} runs already: {address(place, service)}")
        return
    say(f"{service} starts: {address(place, service)}, log {place.log(service)}")
    launch(place, service, clone)


def _await(place: Place, service: str, ails: Callable[[], str | None] | None = None) -> None:
    deadline = time.monotonic() + PATIENCE
    while (why := ails() if ails else ailment(place, service)) or not found(place, service):
        late = time.monotonic() > deadline
        if late or not found(place, service):
            how = f"within {PATIENCE:.0f} s" if late else "but it ended"
            raise ServiceError(
                f"Expected {service} to be healthy {how}, got: {why}. Its log, "
                f"{place.log(service)}, ends: {last_words(place, service)}"
            )
        time.sleep(0.3)


def down(place: Place, say: Say) -> None:
    """End all services, the last first."""
    for service in reversed(services(place.guardian)):
        many = _end(place, service)
        say(f"{service} ended ({many} processes)" if many else f"{service} did not run")


def _end(place: Place, service: str) -> int:
    many = stop(place, service)
    if service == "store":
        store.remove_sockets(place)
    return many


def backup(place: Place, target: Path) -> None:
    """Copy databases, objects, artifacts, ports and secrets into a new folder, while the services
    run.

    Objects and artifacts come last: they are there before a database names them.
    """
    part = _new(target)
    for database in DATABASES:
        postgres.dump(place, database, part / f"{database}.dump")
    for name in ("ports.json", "secrets.json"):
        shutil.copy2(place.root / name, part / name)
    store.dump(place, part / "store")
    shutil.copytree(place.artifacts, part / "artifacts")
    write_json(part / "copy.json", Copy(files=_digests(part)))
    part.rename(target)


def restore(place: Place, source: Path, say: Say) -> None:
    """Make the folder of services anew from a backup; `up` starts them.

    Raises DataError where the copy is not what was written, ServiceError where there are services
    already.
    """
    if place.made:
        raise ServiceError(
            f"Expected no services in {place.root}, found some. `recap services down`, then move "
            "the folder aside."
        )
    _check(source)
    part = Place(place.root.with_name(f"{place.root.name}.part"))
    for service in ("store", "postgres"):  # of a restore that was killed
        stop(part, service)
    shutil.rmtree(part.root, ignore_errors=True)
    part.root.mkdir(parents=True, mode=0o700)
    shutil.copy2(source / "secrets.json", part.root / "secrets.json")
    ports = read_json(source / "ports.json", Ports)
    for service in ("postgres", "store"):
        for port in ports.of(service):
            check_port(service, port)
    prepare(part, ports)
    try:
        _up_database(part, say)
        for database in DATABASES:
            postgres.load(part, database, source / f"{database}.dump")
        _up_store(part, say)
        store.load(part, source / "store")
    finally:
        for service in ("store", "postgres"):
            _end(part, service)
    shutil.copytree(source / "artifacts", part.artifacts, dirs_exist_ok=True)
    part.root.rename(place.root)


def _new(target: Path) -> Path:
    """An empty folder for a copy that nobody else may enter."""
    if target.exists():
        raise DataError(f"Expected a new folder for the backup, but {target} exists.")
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True, mode=0o700)
    return part


def _check(source: Path) -> None:
    written, there = read_json(source / "copy.json", Copy).files, _digests(source)
    there.pop("copy.json")
    wrong = sorted(name for name in written | there if written.get(name) != there.get(name))
    if wrong:
        raise DataError(
            f"Expected {source} as it was written, but {', '.join(wrong[:3])} of {len(wrong)} "
            "files differ. Take another backup."
        )


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            found[str(path.relative_to(folder))] = digest
    return found


_BUSY = "Expected no other `recap services` at work here, but process {pid} is. Wait for it."
