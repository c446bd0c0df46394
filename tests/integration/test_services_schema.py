"""Tables of an older MLflow in a real PostgreSQL: copied, moved on, and nothing is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from recap.errors import ServiceError
from recap.runtime.child import environment
from recap.runtime.ports import free_port
from recap.services import postgres
from recap.services.place import OWNER, ROLE, Place, Ports, prepare
from recap.services.processes import stop
from recap.services.schema import known_steps, revision, upgrade
from tests.integration.services_stack import check_installed
from tests.waiting import until

pytestmark = pytest.mark.slow

OLDER = """
import sys
import mlflow.store.db.utils as db
from alembic import command
engine = db.create_sqlalchemy_engine_with_retry(sys.argv[1])
db.InitialBase.metadata.create_all(engine)
config = db._get_alembic_config(str(engine.url))
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.upgrade(config, sys.argv[2])
"""
KEPT = """
INSERT INTO experiments (name, artifact_location, lifecycle_stage) VALUES ('kept', 'x', 'active')
"""
COUNT = "SELECT count(*) FROM experiments WHERE name = 'kept'"


@pytest.fixture
def place() -> Iterator[Place]:
    """A PostgreSQL of its own, in a folder that its user can reach, with empty databases."""
    check_installed()
    folder = Path(tempfile.mkdtemp(prefix="recap-schema-", dir="/tmp"))
    folder.chmod(0o711)
    made = Place(folder / "services")
    made.root.mkdir()
    try:
        prepare(made, Ports(postgres=free_port()))
        postgres.make_cluster(made)
        postgres.start_server(made)
        until(lambda: _answers(made), seconds=120, pause=0.1)
        postgres.make_databases(made)
        yield made
    finally:
        stop(made, "postgres")
        shutil.rmtree(folder)


def _answers(place: Place) -> bool:
    try:
        postgres.run_sql(place, OWNER, "postgres", "SELECT 1")
    except ServiceError:
        return False
    return True


def test_older_tables_are_copied_and_moved_on(place: Place) -> None:
    said: list[str] = []
    assert upgrade(place, said.append) is None and said == []  # no tables yet: MLflow makes them
    steps = known_steps()
    (newest,) = set(steps) - set(steps.values())
    older = steps[steps[newest]]
    subprocess.run(
        [sys.executable, "-c", OLDER, place.uri("mlflow", "psycopg"), older],
        env=environment(PGPASSFILE=str(place.passwords)),
        check=True,
    )
    postgres.run_sql(place, ROLE, "mlflow", KEPT)
    assert revision(place, "mlflow") == older
    copy = place.root / f"before-upgrade/mlflow.{older}.dump"
    assert upgrade(place, said.append) == copy
    assert said == [
        f"mlflow has tables of an older version: a copy goes to {copy}, then they are moved on"
    ]
    assert revision(place, "mlflow") == newest
    assert postgres.run_sql(place, ROLE, "mlflow", COUNT) == "1"
    assert copy.parent.stat().st_mode & 0o777 == 0o700
    postgres.run_sql(place, OWNER, "postgres", f"CREATE DATABASE before OWNER {ROLE}")
    postgres.load(place, "before", copy)
    assert revision(place, "before") == older
    assert postgres.run_sql(place, ROLE, "before", COUNT) == "1"
    assert upgrade(place, said.append) is None and len(said) == 1

    postgres.run_sql(place, ROLE, "mlflow", "UPDATE alembic_version SET version_num = 'later'")
    with pytest.raises(ServiceError, match="got revision later, which a newer one has made"):
        upgrade(place, said.append)
    assert revision(place, "mlflow") == "later" and len(said) == 1
