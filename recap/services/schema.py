"""MLflow's tables as the installed MLflow wants them: its server refuses older ones.

A newer MLflow moves the tables of an older one on before its server starts, from a copy of the
database on, because its steps are not one transaction. Leaves out Prefect and MLflow's accounts,
whose servers do this themselves.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from recap.errors import ServiceError
from recap.runtime.child import environment
from recap.services import postgres
from recap.services.place import ROLE, Place

STEP = re.compile(r'^revision = "(\w+)"$.*?^down_revision = (?:"(\w+)"|None)$', re.M | re.S)
"""A step of the tables, and the one before it, as alembic's files name them."""


def upgrade(place: Place, say: Callable[[str], None], database: str = "mlflow") -> Path | None:
    """Bring the tables up to date; returns the copy that was made before, if they were not.

    Raises ServiceError for tables of a newer MLflow, and where MLflow cannot move them on.
    """
    found, steps = revision(place, database), known_steps()
    last = set(steps) - set(steps.values())
    if len(last) != 1:
        raise ServiceError(
            f"Expected one newest step of the installed MLflow's tables, got {len(last)}: its "
            "files have an unknown form. Install the MLflow that constraints.txt names."
        )
    (newest,) = last
    if found in ("", newest):
        return None
    if found not in steps:
        raise ServiceError(
            f"Expected tables that the installed MLflow knows in the database {database}, got "
            f"revision {found}, which a newer one has made. Install that MLflow, or restore a "
            "backup from before it."
        )
    copy = place.root / "before-upgrade" / f"{database}.{found}.dump"
    copy.parent.mkdir(mode=0o700, exist_ok=True)  # root's folder of services lets others pass
    say(f"mlflow has tables of an older version: a copy goes to {copy}, then they are moved on")
    postgres.dump(place, database, copy)
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "db", "upgrade", place.uri(database, "psycopg")],
        env=environment(PGPASSFILE=str(place.passwords)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or revision(place, database) != newest:
        raise ServiceError(
            f"Expected MLflow to move its tables from {found} to {newest}, got exit code "
            f"{done.returncode}: {' '.join(done.stderr.split())[-500:]}. The copy in {copy} is "
            "the database from before."
        )
    return copy


def revision(place: Place, database: str) -> str:
    """Where the tables are; empty for a database without any."""
    known = "SELECT to_regclass('public.alembic_version') IS NOT NULL"
    if postgres.run_sql(place, ROLE, database, known) != "t":
        return ""
    return postgres.run_sql(place, ROLE, database, "SELECT version_num FROM alembic_version")


def known_steps() -> dict[str, str]:
    """The installed MLflow's steps, each with the one before it (empty: it is the first)."""
    spec = importlib.util.find_spec("mlflow")
    assert spec is not None and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "store/db_migrations/versions"
    steps = dict[str, str]()
    for file in sorted(folder.glob("*.py")):
        if found := STEP.search(file.read_text(encoding="utf-8")):
            steps[found[1]] = found[2] or ""
    return steps
