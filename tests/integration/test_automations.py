"""What the server does about runs whose process is gone, on a real Prefect API.

Locks: 1. a run that is silent for too long is set Crashed, one that was cancelled Cancelled, and
the deployment has its one place again; 2. heartbeats, an end and runs of others keep the server
away; 3. `recap deploy` twice makes each automation once.
"""

from __future__ import annotations

import json
import re
import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.flow_project import FORGET, call
from tests.integration.test_flows import answer, found, post, proposed
from tests.waiting import until

SILENCE = 10
CLOSE = f"""
import runpy, sys
from datetime import timedelta
sys.argv = ["flows.automations", ""]
runpy.run_module("flows.automations", run_name="__main__")
from flows.automations import close_lost
print(close_lost(timedelta(seconds={SILENCE})))
"""


@pytest.fixture
def closing(tmp_path: Path, api: str) -> Iterator[str]:
    """The automations with a short patience; other tests share the server."""
    made = call(tmp_path, "-c", CLOSE, PREFECT_API_URL=api)
    assert re.findall(r"A run without a sign of life for (\d+) s is closed\.", made.stdout) == [
        "600",
        str(SILENCE),
    ], made.stderr
    yield api
    assert call(tmp_path, "-c", FORGET, PREFECT_API_URL=api).returncode == 0


@pytest.mark.slow
def test_a_run_without_a_process_is_closed(closing: str) -> None:
    api = closing
    names = sorted(row["name"] for row in found(api, "automations", {}))
    ours = [name for name in names if name != "recap: notify on failure"]  # of another test
    assert ours == ["recap: close cancelled runs", "recap: close lost runs"]
    alive, ended, foreign = started(api), started(api), started(api, tags=[])
    heart = Heart(api, alive)
    pending, stopping = started(api, "PENDING"), started(api)
    place = deployment(api)
    dead = started(api, place=place)
    assert proposed(api, ended, "COMPLETED") == "COMPLETED"
    assert proposed(api, stopping, "CANCELLING") == "CANCELLING"
    assert proposed(api, created(api, place), "PENDING") == "CANCELLED"  # the place is taken
    gone = {pending: "CRASHED", stopping: "CANCELLED", dead: "CRASHED"}
    until(lambda: {run: state(api, run)["type"] for run in gone} == gone, seconds=120, pause=0.3)
    assert state(api, dead)["message"] == (
        f"Its worker or machine is gone: no sign of life for {SILENCE} s."
    )
    assert [state(api, run)["type"] for run in (alive, ended, foreign)] == [
        "RUNNING",
        "COMPLETED",
        "RUNNING",
    ]
    assert proposed(api, created(api, place), "PENDING") == "PENDING"
    heart.stop()
    until(lambda: state(api, alive)["type"] == "CRASHED", seconds=120, pause=0.3)


def deployment(api: str, tags: list[str] | None = None) -> str:
    """A deployment with one place, as those of infra/prefect.yaml."""
    flow = post(f"{api}/flows/", {"name": f"flow-{uuid4()}"})["id"]
    body = {
        "name": "nightly",
        "flow_id": flow,
        "tags": ["recap"] if tags is None else tags,
        "concurrency_limit": 1,
        "concurrency_options": {"collision_strategy": "CANCEL_NEW"},
    }
    return str(post(f"{api}/deployments/", body)["id"])


def created(api: str, place: str) -> str:
    return str(post(f"{api}/deployments/{place}/create_flow_run", {})["id"])


def started(
    api: str, last: str = "RUNNING", *, place: str = "", tags: list[str] | None = None
) -> str:
    """A run in the state ``last``, of a deployment of its own if none is named."""
    run = created(api, place or deployment(api, tags))
    for name in ("PENDING", "RUNNING"):
        assert proposed(api, run, name) == name
        if name == last:
            break
    return run


def state(api: str, run: str) -> dict[str, Any]:
    return dict(answer(f"{api}/flow_runs/{run}")["state"])


class Heart(threading.Thread):
    """Sends a run's heartbeats as Prefect's engine does, once a second."""

    def __init__(self, api: str, run: str) -> None:
        super().__init__(daemon=True)
        self._api, self._run, self._over = api, run, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(1):
            tag = {"prefect.resource.id": "prefect.tag.recap", "prefect.resource.role": "tag"}
            event = {
                "id": str(uuid4()),
                "occurred": datetime.now(UTC).isoformat(),
                "event": "prefect.flow-run.heartbeat",
                "resource": {"prefect.resource.id": f"prefect.flow-run.{self._run}"},
                "related": [tag],
            }
            post_events(self._api, [event])

    def stop(self) -> None:
        """The last heartbeat was sent when this returns."""
        self._over.set()
        self.join()


def post_events(api: str, events: list[dict[str, Any]]) -> None:
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"{api}/events", json.dumps(events).encode(), headers)
    urllib.request.urlopen(asked).close()
