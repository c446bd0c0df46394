"""The flow ``reproduce`` as a Prefect worker runs it: cancelled, and with its worker killed.

Locks: 1. a cancelled run's stage is cancelled too, in Prefect's eyes; 2. what a stage says stands
in the run's log; 3. nothing that a killed worker started lives on, and the next run goes on; 4. the
clone's branch is pulled first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")
def test_a_cancelled_run_and_a_killed_worker(tmp_path: Path, api: str) -> None:
    origin, project = make_project(tmp_path / "origin", LONG), tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(origin), str(project))
    (origin / "news.txt").write_text("of today\n")
    commit(origin, "news")
    for name in ("infra", "flows"):
        shutil.copytree(ROOT / name, project / name)
    prefect = [sys.executable, "-m", "prefect"]
    env = child_environment(
        project, PREFECT_API_URL=api, PREFECT_WORKER_QUERY_SECONDS="1", RECAP_CLONE=str(project)
    )
    for command in (
        ["work-pool", "create", "--type", "process", "--overwrite", "recap"],
        ["--no-prompt", "deploy", "--all", "--prefect-file", "infra/prefect.yaml"],
    ):
        subprocess.run([*prefect, *command], cwd=project, env=env, check=True, timeout=300)
    deployment = answer(f"{api}/deployments/name/reproduce/nightly")
    start = f"{api}/deployments/{deployment['id']}/create_flow_run"
    with (tmp_path / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            [*prefect, "worker", "start", "--pool", "recap"],
            cwd=project, env=env, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        run = post(start, {})["id"]
        stage = int(wait_for(project / "pid", PATIENCE))
        assert (project / "news.txt").read_text() == "of today\n"
        post(f"{api}/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
        until(
            lambda: states(api, run)[0] == "CANCELLED" and not alive(stage),
            seconds=PATIENCE,
            pause=0.2,
        )
        until(lambda: states(api, run) == ["CANCELLED", "CANCELLED"], seconds=PATIENCE, pause=0.2)
        lines = [entry["message"] for entry in found(api, "logs", flow_run(run))]
        assert "[1/1] long starts" in lines and "long | step 3 of 9" in lines

        (project / "pid").unlink()
        run = post(start, {})["id"]
        stage = int(wait_for(project / "pid", PATIENCE))
        family = [stage, *descendants(worker.pid)]
        assert len(family) >= 3  # the stage, DVC, Prefect's engine
        worker.kill()
        worker.wait()
        until(lambda: not any(map(alive, family)), seconds=PATIENCE)
        until(lambda: states(api, run) == ["CRASHED", "CANCELLED"], seconds=PATIENCE, pause=0.2)
    finally:
        for pid in descendants(worker.pid):
            os.kill(pid, 9)
        worker.kill()
        worker.wait()
    waiting = "exec python -m recap.runtime.child /bin/sleep 300"
    (project / "dvc.yaml").write_text(LONG.replace(waiting, "echo done > long.txt"))
    again = call(project, "-m", "flows", "reproduce", PREFECT_API_URL=api)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (project / "long.txt").read_text() == "done\n"


def states(api: str, run: str) -> list[str]:
    """The state of a flow run, and of its tasks."""
    own = answer(f"{api}/flow_runs/{run}")["state"]["type"]
    tasks = found(api, "task_runs", {"flow_runs": {"id": {"any_": [run]}}})
    return [own, *(task["state"]["type"] for task in tasks)]


def flow_run(run: str) -> dict[str, Any]:
    return {"logs": {"flow_run_id": {"any_": [run]}}}
