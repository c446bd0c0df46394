"""Where tracking and registry are kept: the address, a database's file, the artifacts beside it.

MLflow writes absolute addresses of artifacts into its database. A database that was moved or copied
with its artifacts is told where they lie now; elsewhere it would read from, and write into, the
folder that they came from. Leaves out MLflow itself (recap/tracking/runs.py).
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from recap.errors import TrackingError

URI = "MLFLOW_TRACKING_URI"
SQLITE = "sqlite:///"
ARTIFACTS = "mlartifacts"
LOCAL = "local"
"""What `store_name` calls the clone's own store."""
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns of MLflow's database that hold addresses of artifacts."""


def store_uri(root: Path) -> str:
    """Where runs and versions are kept: ``mlflow.db`` of the clone unless MLFLOW_TRACKING_URI is
    set.
    """
    return os.environ.get(URI) or f"{SQLITE}{local_store(root)}"


def local_store(root: Path) -> Path:
    """The default store's file."""
    return root.resolve() / "mlflow.db"


def database(root: Path) -> Path | None:
    """The file of the store; ``None`` where a server keeps it."""
    uri = store_uri(root)
    return Path(uri.removeprefix(SQLITE)).resolve() if uri.startswith(SQLITE) else None


def store_name(root: Path) -> str:
    """What tells one store from another: ``local``, or an address without its password."""
    uri = store_uri(root)
    return LOCAL if database(root) == local_store(root) else without_password(uri)


def without_password(uri: str) -> str:
    """The address without user and password."""
    scheme, found, rest = uri.partition("://")
    return f"{scheme}://{rest.rsplit('@', 1)[-1]}" if found else uri


def artifact_place(root: Path, experiment: str) -> str | None:
    """Where an experiment's artifacts go: beside its database; ``None`` where a server decides."""
    file = database(root)
    return None if file is None else (file.parent / ARTIFACTS / experiment).as_uri()


def readdress(file: Path) -> bool:
    """Have a database that was moved with its artifacts point to them; whether it had to be done.

    ``file`` is a database of today's schema. What has no artifacts beside it is left as it is.
    """
    here = file.parent / ARTIFACTS
    if not here.is_dir():
        return False
    with closing(_connected(file)) as base, base:
        known = base.execute("SELECT artifact_location, name FROM experiments").fetchall()
        ends = [(place or "", f"/{ARTIFACTS}/{name}") for place, name in known]
        before = {place.removesuffix(name) for place, name in ends if place.endswith(name)}
        moved = {f"{place}/{ARTIFACTS}/" for place in before} - {f"{here.as_uri()}/"}
        for old in sorted(moved):
            for table, column in ADDRESSES:
                base.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                    f" WHERE substr({column}, 1, ?) = ?",
                    (f"{here.as_uri()}/", len(old) + 1, len(old), old),
                )
    return bool(moved)


def _connected(file: Path) -> sqlite3.Connection:
    """An open database; raises TrackingError where MLflow's tables are gone from under us."""
    try:
        base = sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=60)
        base.execute("SELECT 1 FROM experiments")
    except sqlite3.OperationalError as error:
        raise TrackingError(
            f"Expected MLflow's tables in {file}, got: {error}. Another process took the file away "
            "while this one had it open: run the command again."
        ) from error
    return base
