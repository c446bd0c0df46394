"""A sweep on a Prefect work pool: a server, two workers in two clones, a remote on S3 loopback.

Locks: 1. the driver's lock files are those of a single machine, and the driver runs no stage; 2.
no finished cell is done twice, though a worker was killed in mid-cell: the other does that one;
3. a cell that fails stops no other, and the next run does just that one; 4. an object that the
remote has lost is noticed and brought back; 5. a clone at another commit is refused.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from recap.sweeps.ledger import LEDGER
from recap.sweeps.project import locked, read_project, write_project
from tests.integration.flow_project import call, child_environment
from tests.integration.pool_project import (
    BUCKET,
    clone,
    commit,
    git,
    kill_tree,
    make_origin,
    object_store,
    prefect_server,
    start_worker,
    variables,
)
from tests.waiting import until

POOL = "sweep"
CELLS = ("recap-0", "dapo-0")
SHARED = {"models", "sources", "prepare", "validate", "prefill"}
OWN = ("train", "attack", "judge", "evaluate")
FAULT = "DataError: Expected a row, got none. Add one."


@dataclass
class Site:
    """All machines of the sweep, in one folder."""

    folder: Path
    origin: Path
    store: Any
    api: str
    workers: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def prefect(self, *arguments: str) -> None:
        env = child_environment(self.folder, **variables(self.folder), PREFECT_API_URL=self.api)
        subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            cwd=self.folder,
            env=env,
            check=True,
            capture_output=True,
        )

    def driver(self, place: Path, pool: str = POOL) -> subprocess.Popen[str]:
        """Start `sweep-pool` in the clone ``place``."""
        return subprocess.Popen(
            [sys.executable, "-m", "flows", "sweep-pool", "--pool", pool, "--lease", "20"],
            cwd=place,
            env=child_environment(
                self.folder,
                **variables(self.folder),
                PREFECT_API_URL=self.api,
                RECAP_CLONE="/nowhere",  # a driver's own must not reach the workers
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def log(self) -> list[list[str]]:
        """The stages' lines: what, stage, where."""
        file = self.folder / "log.txt"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def ended(self) -> Counter[str]:
        return Counter(stage for what, stage, _ in self.log() if what == "end")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("pool")
    with object_store() as (endpoint, store), prefect_server(folder) as api:
        origin = make_origin(folder / "origin", endpoint)
        site = Site(folder, origin, store, api)
        site.prefect("work-pool", "create", "--type", "process", POOL)
        for name in ("left", "right"):
            place = clone(origin, folder / name)
            site.workers[name] = start_worker(folder, api, POOL, place)
        try:
            yield site
        finally:
            for worker in site.workers.values():
                if worker.poll() is None:
                    kill_tree(worker)


@pytest.fixture(scope="module")
def single(site: Site) -> dict[str, Any]:
    """The lock files of one machine that does it all."""
    place = clone(site.origin, site.folder / "single")
    project = read_project(place)
    folder = write_project(project)
    stages = [stage for cell in project.design.cells() for stage in project.stages(cell)]
    environment = variables(site.folder) | {"RUN_LOG": str(site.folder / "single.txt")}
    ran = call(folder, "-m", "dvc", "repro", "-q", *stages, **environment)
    assert ran.returncode == 0, ran.stderr
    return locked(folder)


@pytest.mark.slow
def test_a_sweep_on_a_pool(site: Site, single: dict[str, Any]) -> None:
    """One test: its machines take half a minute to make, and tests of a file may be spread."""
    a_killed_worker_and_a_failing_cell(site, single)
    a_clone_at_another_commit_is_refused(site)
    a_pool_that_is_not_there_is_named(site)


def a_killed_worker_and_a_failing_cell(site: Site, single: dict[str, Any]) -> None:
    held, bad = "train@recap-0", "attack@dapo-0"
    (site.folder / "hold" / held).touch()
    (site.folder / "hold" / f"fail-{bad}").touch()
    place = clone(site.origin, site.folder / "driver")
    driver = site.driver(place)
    try:
        until(
            lambda: any(line[1] == held for line in site.log()),
            unless=lambda: driver.poll() is not None,
        )
        assert driver.poll() is None, driver.communicate()[0]
        where = next(path for _, stage, path in site.log() if stage == held)
        victim = Path(where).relative_to(site.folder).parts[0]
        kill_tree(site.workers[victim])
        (site.folder / "hold" / held).unlink()
        said, _ = driver.communicate(timeout=600)
    finally:
        driver.kill()
    assert driver.returncode == 2, said
    assert "recap-0: no sign of its worker for" in said
    assert f"{FAULT}" in said.rpartition("PipelineError: ")[2]
    assert said.rstrip().endswith("All other cells are recorded; run again to do just these.")
    assert "not restored but run here" not in said
    (survivor,) = set(site.workers) - {victim}
    again = [path for what, stage, path in site.log() if stage == held and what == "end"]
    assert again == [str(site.folder / survivor / ".recap/sweep")]
    done = SHARED | {f"{stage}@{cell}" for cell in CELLS for stage in OWN}
    done -= {f"{stage}@dapo-0" for stage in OWN[1:]}
    assert site.ended() == dict.fromkeys(done, 1)

    (site.folder / "hold" / f"fail-{bad}").unlink()
    lost = file_of_policy(site, single)
    site.store.delete_object(Bucket=BUCKET, Key=lost)
    driver = site.driver(place)
    said, _ = driver.communicate(timeout=600)
    assert driver.returncode == 0, said
    assert "1 to do: dapo-0" in said
    done |= {f"{stage}@dapo-0" for stage in OWN[1:]}
    assert site.ended() == dict.fromkeys(done, 1)  # what ended before the failure was kept too
    assert str(place) not in (site.folder / "log.txt").read_text()
    assert locked(place / ".recap/sweep") == single
    site.store.head_object(Bucket=BUCKET, Key=lost)
    records = [json.loads((place / LEDGER / f"{cell}.json").read_text()) for cell in CELLS]
    assert [f"{record['variant']}-{record['seed']}" for record in records] == list(CELLS)
    timed = [cell for cell, record in zip(CELLS, records, strict=True) if record["cost"]["seconds"]]
    assert set(CELLS) - set(timed) <= {"dapo-0"}  # a part of it had been done before

    assert said.splitlines()[-1] == "tracking | MLflow holds 2 cells of the sweep"


def file_of_policy(site: Site, single: dict[str, Any]) -> str:
    """Where the remote has a file of a folder that all cells need."""
    (entry,) = (single[stage] for stage in single if stage.rpartition(":")[2] == "models")
    oid = entry["outs"][0]["md5"]
    listing = site.store.get_object(Bucket=BUCKET, Key=f"dvc/files/md5/{oid[:2]}/{oid[2:]}")
    inside = json.loads(listing["Body"].read())[0]["md5"]
    return f"dvc/files/md5/{inside[:2]}/{inside[2:]}"


def a_clone_at_another_commit_is_refused(site: Site) -> None:
    place = clone(site.origin, site.folder / "third")
    (place / "docs").mkdir()
    (place / "docs" / "note.md").write_text("new\n")
    commit(place, "a commit that no worker has")
    before = site.log()
    driver = site.driver(place)
    said, _ = driver.communicate(timeout=600)
    assert driver.returncode == 2
    assert "Expected this worker's clone to have commit" in said
    assert f"Not run, for they need it: {', '.join(CELLS)}." in said
    assert site.log() == before
    git(place, "status")


def a_pool_that_is_not_there_is_named(site: Site) -> None:
    driver = site.driver(site.folder / "third", pool="other")
    said, _ = driver.communicate(timeout=600)
    assert driver.returncode == 2
    assert "Expected a work pool 'other' on" in said
    assert "prefect work-pool create --type process other" in said
