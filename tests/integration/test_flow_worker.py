"""The flow ``reproduce`` on a whole Prefect server, as a schedule and a worker run it.

Locks: 1. a cron fires, and a second run that comes due meanwhile is cancelled; 2. a run that is
cancelled in the UI or by the CLI leaves no child after five seconds, and its stage is cancelled
too, in Prefect's eyes; 3. what a stage says stands in the run's log; 4. nothing that a killed
worker started lives on, and the next run goes on; 5. where worker and run are killed at once,
after a heartbeat, the server closes the run and frees the deployment's one place; 6. the clone's
branch is pulled first.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.flow_project import (
    ROOT,
    alive,
    call,
    child_environment,
    commit,
    git,
    make_project,
    prefect_api,
)
from tests.integration.test_flows import answer, descendants, found, post, wait_for
from tests.waiting import until

LONG = """\
stages:
  long:
    cmd: echo step 3 of 9 && echo $$ > pid && exec python -m recap.runtime.child /bin/sleep 300
    outs:
      - long.txt
"""
PATIENCE = 240.0
"""Seconds; less than the stage sleeps."""
LEFT = 5.0
"""Seconds after a cancelled run's end until nothing of it is left."""
BEAT, SILENCE = "30", 45
"""Seconds: Prefect sends no more heartbeats than that, and the server's patience."""
PREFECT = [sys.executable, "-m", "prefect"]
CLOSE = f"""
from datetime import timedelta
from flows.automations import close_lost
close_lost(timedelta(seconds={SILENCE}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")
def test_scheduled_cancelled_and_killed_runs(tmp_path: Path) -> None:
    origin, project = make_project(tmp_path / "origin", LONG), tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(origin), str(project))
    (origin / "news.txt").write_text("of today\n")
    commit(origin, "news")
    for name in ("infra", "flows"):
        shutil.copytree(ROOT / name, project / name)
    file = project / "infra/prefect.yaml"
    changed = file.read_text().replace('cron: "0 2 * * *"', 'cron: "* * * * *"')
    file.write_text(changed.replace('FREQUENCY: "60"', f'FREQUENCY: "{BEAT}"'))
    with prefect_api(tmp_path, whole=True) as api:
        env = child_environment(
            project, PREFECT_API_URL=api, PREFECT_WORKER_QUERY_SECONDS="1", RECAP_CLONE=str(project)
        )
        for command in (
            [*PREFECT, "work-pool", "create", "--type", "process", "recap"],
            [*PREFECT, "--no-prompt", "deploy", "--all", "--prefect-file", "infra/prefect.yaml"],
        ):
            subprocess.run(command, cwd=project, env=env, check=True, timeout=300)
        deployment = answer(f"{api}/deployments/name/reproduce/nightly")["id"]
        with working(project, env) as worker:
            due = scheduled_and_alone(api, deployment, project)
            family = descendants(worker.pid)
            post(f"{api}/flow_runs/{due}/set_state", {"state": {"type": "CANCELLING"}})  # the UI
            nothing_is_left(api, due, family)
            until(lambda: states(api, due) == ["CANCELLED", "CANCELLED"], pause=0.2)
            lines = [entry["message"] for entry in found(api, "logs", flow_run(due))]
            assert "[1/1] long starts" in lines and "long | step 3 of 9" in lines

            by_hand = begun(api, deployment, project)
            family = descendants(worker.pid)
            subprocess.run(
                [*PREFECT, "flow-run", "cancel", by_hand], env=env, cwd=project, check=True
            )
            nothing_is_left(api, by_hand, family)
            assert alive(worker.pid)

            orphan = begun(api, deployment, project)
            family = descendants(worker.pid)
            worker.kill()
            until(lambda: not any(map(alive, family)), seconds=60)
            until(lambda: states(api, orphan) == ["CRASHED", "CANCELLED"], pause=0.2)
        with working(project, env) as worker:
            lost = begun(api, deployment, project)
            subprocess.run([sys.executable, "-c", CLOSE], cwd=project, env=env, check=True)
            hears(api, lost)
            kill_at_once([worker.pid, *descendants(worker.pid)])
            assert states(api, lost) == ["RUNNING", "RUNNING"]
            assert not begins(api, deployment)
            until(lambda: states(api, lost)[0] == "CRASHED", seconds=4 * SILENCE, pause=0.2)
            assert begins(api, deployment)
    waiting = "exec python -m recap.runtime.child /bin/sleep 300"
    (project / "dvc.yaml").write_text(LONG.replace(waiting, "echo done > long.txt"))
    again = call(project, "-m", "flows", "reproduce")
    assert again.returncode == 0, again.stdout + again.stderr
    assert (project / "long.txt").read_text() == "done\n"


@contextlib.contextmanager
def working(project: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in the clone; nothing of it is left afterwards."""
    with (project.parent / "worker.log").open("a") as log:
        worker = subprocess.Popen(
            [*PREFECT, "worker", "start", "--pool", "recap"],
            cwd=project, env=env, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield worker
    finally:
        kill_at_once([*descendants(worker.pid), worker.pid])
        worker.wait()


def scheduled_and_alone(api: str, deployment: str, project: Path) -> str:
    """The run that the cron began, after the next one was refused, which ends the schedule here."""

    def runs(state: str) -> list[dict[str, Any]]:
        wanted = {"deployment_id": {"any_": [deployment]}, "state": {"type": {"any_": [state]}}}
        return found(api, "flow_runs", {"flow_runs": wanted})

    stage = int(wait_for(project / "pid", PATIENCE))
    assert (project / "news.txt").read_text() == "of today\n"
    until(lambda: bool(runs("CANCELLED")), seconds=PATIENCE, pause=0.5)
    refused = runs("CANCELLED")[0]
    assert refused["auto_scheduled"] and refused["state"]["message"] == (
        "Deployment concurrency limit reached."
    )
    (run,) = runs("RUNNING")
    assert run["auto_scheduled"] and alive(stage)
    (schedule,) = answer(f"{api}/deployments/{deployment}/schedules")
    patch(f"{api}/deployments/{deployment}/schedules/{schedule['id']}", {"active": False})
    return str(run["id"])


def begun(api: str, deployment: str, project: Path) -> str:
    """A run that was started by hand, once its stage runs."""
    (project / "pid").unlink()
    run = str(post(f"{api}/deployments/{deployment}/create_flow_run", {})["id"])
    wait_for(project / "pid", PATIENCE)
    return run


def nothing_is_left(api: str, run: str, family: list[int]) -> None:
    """Once the run is cancelled, no process of it is there for longer than LEFT."""
    assert len(family) >= 3  # Prefect's engine, DVC, the stage
    until(lambda: states(api, run)[0] == "CANCELLED", seconds=PATIENCE, pause=0.2)
    until(lambda: not any(map(alive, family)), seconds=LEFT)


def hears(api: str, run: str) -> None:
    """Wait for the next heartbeat of a run, which says whose it is."""
    wanted = {
        "occurred": {"since": datetime.now(UTC).isoformat()},
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "resource": {"id": [f"prefect.flow-run.{run}"]},
    }

    def heard() -> list[dict[str, Any]]:
        return list(post(f"{api}/events/filter", {"filter": wanted})["events"])

    until(lambda: bool(heard()), seconds=PATIENCE, pause=0.5)
    related = [row["prefect.resource.id"] for row in heard()[0]["related"]]
    assert "prefect.tag.recap" in related


def kill_at_once(pids: list[int]) -> None:
    """As a machine that is gone: nobody sees anybody else's end."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def begins(api: str, deployment: str) -> bool:
    """Whether the deployment has a place for one more run, as its worker would ask."""
    run = post(f"{api}/deployments/{deployment}/create_flow_run", {})["id"]
    proposed = post(f"{api}/flow_runs/{run}/set_state", {"state": {"type": "PENDING"}})
    return bool(proposed["state"]["type"] == "PENDING")


def states(api: str, run: str) -> list[str]:
    """The state of a flow run, and of its tasks."""
    own = answer(f"{api}/flow_runs/{run}")["state"]["type"]
    tasks = found(api, "task_runs", {"flow_runs": {"id": {"any_": [run]}}})
    return [own, *(task["state"]["type"] for task in tasks)]


def patch(url: str, body: object) -> None:
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(url, json.dumps(body).encode(), headers, method="PATCH")
    urllib.request.urlopen(asked).close()


def flow_run(run: str) -> dict[str, Any]:
    return {"logs": {"flow_run_id": {"any_": [run]}}}
