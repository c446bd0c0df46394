"""The flow ``reproduce`` on real DVC projects of shell stages, with a real Prefect API.

Locks: 1. the flow leaves the same dvc.lock as ``dvc repro``; 2. a second run does nothing; 3. a
failing stage's message stands once, at the end, and nothing that needs it runs; 4. a killed stage
gets one more try; 5. nothing outlives a flow that is killed; 6. two runs never share a clone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from recap.runtime.locks import sole_run
from tests.integration.flow_project import (
    FORGET,
    ROOT,
    alive,
    call,
    child_environment,
    lock_of,
    make_project,
)
from tests.integration.registry_project import CACHE, write_lock
from tests.integration.test_registry import aliases, promote, publish_candidate
from tests.waiting import until

FAILING = """\
stages:
  good:
    cmd: echo fine > good.txt
    outs:
      - good.txt
  bad:
    cmd: >-
      echo reading && echo 'DataError: Expected a row, got none. Add one.' >&2 && exit 2
    deps:
      - good.txt
    outs:
      - bad.txt
  after:
    cmd: cat bad.txt > after.txt
    deps:
      - bad.txt
    outs:
      - after.txt
"""
KILLED_ONCE = """\
stages:
  fragile:
    cmd: test -e seen || { touch seen; kill -9 $$; }; echo whole > fragile.txt
    outs:
      - fragile.txt
"""
LONG = """\
stages:
  long:
    cmd: echo $$ > pid && exec python -m recap.runtime.child /bin/sleep 300
    outs:
      - long.txt
"""


def reproduce(folder: Path, api: str) -> subprocess.CompletedProcess[str]:
    return call(folder, "-m", "flows", "reproduce", PREFECT_API_URL=api)


@pytest.mark.slow
def test_same_lock_as_dvc_repro_and_nothing_left_to_do(tmp_path: Path, api: str) -> None:
    by_flow, by_dvc = make_project(tmp_path / "flow"), make_project(tmp_path / "dvc")
    ran = reproduce(by_flow, api)
    assert ran.returncode == 0, ran.stderr
    assert "3 of 3 stages to run, 2 at a time" in ran.stdout
    assert "first@a | working on a" in ran.stdout
    assert "[3/3] last done in" in ran.stdout
    assert "Error" not in ran.stderr
    assert call(by_dvc, "-m", "dvc", "repro", "-q").returncode == 0
    assert lock_of(by_flow) == lock_of(by_dvc)
    assert call(by_flow, "-m", "dvc", "status", "--json").stdout.strip() == "{}"
    again = reproduce(by_flow, api)
    assert again.returncode == 0
    assert "0 of 3 stages to run" in again.stdout


def test_a_failure_is_shown_once_and_last(tmp_path: Path, api: str) -> None:
    project = make_project(tmp_path, FAILING)
    ran = reproduce(project, api)
    everything = ran.stdout + ran.stderr
    assert ran.returncode == 2
    assert everything.count("DataError: Expected a row, got none. Add one.") == 1
    assert "Traceback" not in everything
    assert ran.stderr.strip().splitlines() == [
        "PipelineError: Stage bad failed (exit code 2):",
        "DataError: Expected a row, got none. Add one.",
        "",
        "Not run: after. What is done is kept; run again to go on.",
    ]
    assert "after starts" not in everything
    assert set(lock_of(project)["stages"]) == {"good"}  # type: ignore[call-overload]


@pytest.mark.slow
def test_a_killed_stage_is_tried_again(tmp_path: Path, api: str) -> None:
    project = make_project(tmp_path, KILLED_ONCE)
    ran = reproduce(project, api)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("fragile starts") == 2
    assert (project / "fragile.txt").read_text() == "whole\n"


@pytest.mark.slow
def test_nothing_outlives_a_killed_flow(tmp_path: Path) -> None:
    project = make_project(tmp_path, LONG)
    flow = subprocess.Popen(
        [sys.executable, "-m", "flows", "reproduce"],
        cwd=project,
        env=child_environment(project),
        stdout=subprocess.DEVNULL,
    )
    try:
        stage = int(wait_for(project / "pid"))
        family = [stage, *descendants(flow.pid)]
    finally:
        flow.kill()
        flow.wait()
    assert len(family) >= 3  # the stage, DVC, the Prefect server
    until(lambda: not any(map(alive, family)), seconds=60)


def test_two_runs_never_share_a_clone(tmp_path: Path, api: str) -> None:
    project = make_project(tmp_path)
    with sole_run(project):
        ran = reproduce(project, api)
    assert ran.returncode == os.EX_TEMPFAIL
    assert f"BusyError: Expected no other run in this clone, but process {os.getpid()}" in (
        ran.stderr
    )


WAITING = """\
stages:
  waits:
    cmd: while [ ! -f go ]; do sleep 0.2; done; echo done > out.txt
    outs:
      - out.txt
"""


@pytest.mark.slow
def test_of_two_runs_started_at_once_one_runs(tmp_path: Path) -> None:
    project = make_project(tmp_path, WAITING)
    command = [sys.executable, "-m", "flows", "reproduce"]
    runs = [
        subprocess.Popen(
            command, cwd=project, env=child_environment(project), stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    until(lambda: any(run.poll() is not None for run in runs))
    turned_away, other = sorted(runs, key=lambda run: run.poll() is None)
    said = turned_away.communicate()[1]
    assert turned_away.returncode == os.EX_TEMPFAIL, said
    assert "BusyError: Expected no other run in this clone" in said
    (project / "go").touch()
    assert other.communicate()[1] == "" and other.returncode == 0
    assert (project / "out.txt").read_text() == "done\n"


ASK = """
from flows.server import start_api
start_api()()
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    assert client.api_healthcheck() is None
    print("pools:", client.read_work_pools())
"""


@pytest.mark.parametrize("upper", [True, False])
def test_a_proxy_is_not_asked_for_this_machine(upper: bool, tmp_path: Path, api: str) -> None:
    """Nothing listens at the proxy, and what the user excepts from it is another host."""
    names = [f"{name}_PROXY" for name in ("HTTP", "HTTPS", "ALL")]
    proxies = dict.fromkeys(names, "http://127.0.0.1:9") | {"NO_PROXY": "corp.internal"}
    named = {name if upper else name.lower(): value for name, value in proxies.items()}
    env = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": api} | named
    asked = subprocess.run(
        [sys.executable, "-c", ASK], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert asked.returncode == 0, asked.stderr
    assert "pools: [" in asked.stdout


@pytest.mark.slow
def test_promote_and_rollback_as_commands(tmp_path: Path, api: str) -> None:
    project = make_project(tmp_path)
    for command in ("promote", "rollback"):
        asked = call(project, "-m", "recap", command)
        assert asked.returncode == 2
        assert "GateError: Expected versions in " in asked.stderr
        assert "Traceback" not in asked.stderr
        assert not (project / "mlflow.db").exists()

    write_lock(project, "eval-1")
    publish_candidate(project, weights="one")
    promote(project)
    publish_candidate(project, weights="two")
    two = project / CACHE / "b8/a9f715dbb64fd5c56e7783c6820a61"  # md5 of "two"
    whole = two.read_bytes()
    two.write_text("owt")
    damaged = call(project, "-m", "recap", "promote", "--yes", PREFECT_API_URL=api)
    assert damaged.returncode == 2
    assert "ModelError: Expected model.safetensors with the digest" in damaged.stderr
    assert aliases(project) == {"champion": "1", "challenger": "2"}
    two.write_bytes(whole)
    unasked = call(project, "-m", "recap", "promote")
    assert unasked.returncode == 2
    assert "PipelineError: Expected --yes, or PREFECT_API_URL to name" in unasked.stderr
    moved = call(project, "-m", "recap", "promote", "--yes", PREFECT_API_URL=api)
    assert moved.returncode == 0, moved.stderr
    assert "promote: version 2 is champion instead of version 1." in moved.stdout
    back = call(project, "-m", "recap", "rollback", PREFECT_API_URL=api)
    assert back.returncode == 0, back.stderr
    assert "rollback: version 1 is champion instead of version 2." in back.stdout
    assert aliases(project) == {"champion": "1"}


SIDE_BY_SIDE = """\
stages:
  part:
    matrix:
      letter: [a, b, c, d]
    cmd: >-
      mkdir at-work-${item.letter} && sleep 1.5 && ls -d at-work-* | wc -l > ${item.letter}.txt
      && rmdir at-work-${item.letter}
    outs:
      - ${item.letter}.txt
"""


@pytest.mark.slow
def test_no_more_stages_at_a_time_than_workers(tmp_path: Path, api: str) -> None:
    project = make_project(tmp_path, SIDE_BY_SIDE)
    ran = call(project, "-m", "flows", "reproduce", "--workers", "2", PREFECT_API_URL=api)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    started, seen = 0, []
    for line in ran.stdout.splitlines():
        started += line.endswith(" starts")
        started -= " done in " in line
        seen.append(started)
    assert max(seen) == 2
    assert max(int((project / f"{name}.txt").read_text()) for name in "abcd") <= 2


def wait_for(path: Path, seconds: float = 120) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.is_file() and (text := path.read_text().strip()):
            return text
        time.sleep(0.1)
    raise TimeoutError(path)


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task").glob("*/children")
    direct = [int(child) for entry in children for child in entry.read_text().split()]
    return [*direct, *(deeper for child in direct for deeper in descendants(child))]


TELL = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from flows.automations import notify
print(notify(""))
said = {"text": "{{subject}}"}
CustomWebhookNotificationBlock(name="ops", url=sys.argv[1], json_data=said).save("ops")
for name in ("custom-webhook/ops", "custom-webhook/ops", ""):
    print(notify(name))
notify("custom-webhook/other")
"""


@pytest.mark.slow
def test_what_is_deployed(tmp_path: Path, api: str) -> None:
    """Typed forms, the pull, no overlap, and a message when a run fails."""
    project = make_project(tmp_path)
    shutil.copytree(ROOT / "infra", project / "infra")
    shutil.copytree(ROOT / "flows", project / "flows")
    done = call(project, "-m", "recap", "deploy", PREFECT_API_URL=api)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("name it: recap deploy --notify slack-webhook/NAME")
    sweep = answer(f"{api}/deployments/name/sweep/weekly")
    assert (sweep["entrypoint"], sweep["tags"]) == (
        "flows/sweep.py:sweep",
        ["recap", "notify-on-failure"],
    )
    assert [schedule["schedule"]["cron"] for schedule in sweep["schedules"]] == ["0 6 * * 6"]
    lost = [row["name"] for row in found(api, "automations", {})]
    assert sorted(lost) == ["recap: close cancelled runs", "recap: close lost runs"]
    assert call(project, "-c", FORGET, PREFECT_API_URL=api).returncode == 0
    deployment = answer(f"{api}/deployments/name/reproduce/nightly")
    assert deployment["entrypoint"] == "flows/reproduce.py:reproduce"
    assert deployment["work_pool_name"] == "recap"
    assert deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert [schedule["schedule"]["cron"] for schedule in deployment["schedules"]] == ["0 2 * * *"]
    there = {"prefect.deployments.steps.set_working_directory": {"directory": str(project)}}
    assert deployment["pull_steps"] == [there, {"flows.clone.update": {}}]
    workers = deployment["parameter_openapi_schema"]["properties"]["workers"]
    assert (workers["type"], workers["minimum"]) == ("integer", 1)
    assert workers["description"] == "Number of stages in parallel."
    promotion = answer(f"{api}/deployments/name/promote/champion")
    assert promotion["schedules"] == [] and promotion["pull_steps"] == [there]
    fields = promotion["parameter_openapi_schema"]["properties"]
    assert set(fields) == {"version", "override", "approved", "hours"}
    assert all(field["description"] for field in fields.values())
    # A worker proposes PENDING before it starts a run; with one under way the server cancels that.
    runs = [
        post(f"{api}/deployments/{deployment['id']}/create_flow_run", {})["id"] for _ in range(2)
    ]
    assert [proposed(api, run, "PENDING") for run in runs] == ["PENDING", "CANCELLED"]
    with told() as (url, messages):
        said = call(project, "-c", TELL, url, PREFECT_API_URL=api)
        assert "PipelineError: Expected a notification block TYPE/NAME" in said.stderr
        assert [line.split(".")[0] for line in said.stdout.splitlines()] == [
            "A failed run notifies nobody",
            "A failed run notifies custom-webhook/ops",
            "A failed run notifies custom-webhook/ops",
            "A failed run notifies as before (automation 'recap: notify on failure')",
        ]
        assert proposed(api, runs[0], "FAILED") == "FAILED"  # other tests share the server
        until(lambda: bool(messages), pause=0.1)
        (made,) = found(api, "automations", {})
        assert made["name"] == "recap: notify on failure"
    assert messages == [{"text": "RECAP: reproduce Failed"}]


@contextlib.contextmanager
def told() -> Iterator[tuple[str, list[Any]]]:
    """A webhook: its address, and what it was told."""
    messages: list[Any] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", messages
        server.shutdown()


def proposed(api: str, run: str, state: str) -> str:
    """The state that the server gives a run where ``state`` is proposed."""
    body = {"state": {"type": state}}
    return str(post(f"{api}/flow_runs/{run}/set_state", body)["state"]["type"])


def post(url: str, body: object) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    return dict(answer(urllib.request.Request(url, json.dumps(body).encode(), headers)))


def found(api: str, what: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of a kind, by a filter."""
    headers = {"Content-Type": "application/json"}
    url = f"{api}/{what}/filter"
    return list(answer(urllib.request.Request(url, json.dumps(wanted).encode(), headers)))


def answer(request: str | urllib.request.Request) -> Any:
    """What the API says; 503 is a busy database's "later", which Prefect's own client obeys."""
    for _ in range(60):
        try:
            with urllib.request.urlopen(request) as got:
                return json.load(got)
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(0.5)
    raise TimeoutError("Expected an answer of the API, got 503 for half a minute")
