"""``recap promote`` waits for a person, on a real Prefect API and a real store.

Locks: 1. nothing moves before a yes with a name and a reason, and the history has both; 2. after a
no, or without an answer in time, nothing moves.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recap.tracking.history import History
from recap.tracking.store import store_name
from tests.integration.flow_project import child_environment, make_project
from tests.integration.registry_project import NAME, write_lock
from tests.integration.test_flows import found, post
from tests.integration.test_registry import aliases, promote, publish_candidate
from tests.waiting import until

LATE_THEN_REFUSED = """
from flows.promote import promote
from recap.errors import GateError
for hours in (1e-4, 24):
    try:
        promote(hours=hours)
    except GateError as error:
        print(error)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Version 1 is champion, version 2 challenges it."""
    made = make_project(tmp_path)
    write_lock(made, "eval-1")
    publish_candidate(made, weights="one")
    promote(made)
    publish_candidate(made, weights="two")
    return made


@pytest.mark.slow
def test_a_yes_with_name_and_reason(project: Path, api: str) -> None:
    command = start(project, api, "-m", "recap", "promote")
    run = paused(api, command)
    assert aliases(project) == {"champion": "1", "challenger": "2"}
    nameless = {"decision": "promote", "who": " ", "why": "measured twice"}
    assert answered(api, run, nameless) == "REJECT"
    assert aliases(project) == {"champion": "1", "challenger": "2"}
    assert answered(api, run, nameless | {"who": "Ada"}) == "ACCEPT"
    said, _ = command.communicate()
    assert command.returncode == 0
    assert "Version 2 shall be champion instead of version 1. Waits 24 hours" in said
    assert said.endswith(
        "promote: version 2 is champion instead of version 1. Approved by Ada: measured twice.\n"
    )
    assert aliases(project) == {"champion": "2"}
    assert History(project, NAME, store_name(project)).moves()[-1].approved == "Ada: measured twice"


@pytest.mark.slow
def test_no_answer_and_a_no(project: Path, api: str) -> None:
    command = start(project, api, "-c", LATE_THEN_REFUSED)
    # Prefect logs the error too, before the run has its state.
    until(lambda: line(command).startswith("Expected a yes to version 2 within"), pause=0)
    run = paused(api, command)
    no = {"decision": "refuse", "who": "Ada", "why": "later"}
    until(lambda: answered(api, run, no) == "ACCEPT", pause=0.5)  # the form comes after the pause
    said, _ = command.communicate()
    assert "Version 2 was refused by Ada: later. Champion and aliases are as they were." in said
    assert command.returncode == 0
    assert aliases(project) == {"champion": "1", "challenger": "2"}


def start(project: Path, api: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=project,
        env=child_environment(project, PREFECT_API_URL=api),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def line(command: subprocess.Popen[str]) -> str:
    """The next line; raises AssertionError at the end."""
    assert command.stdout is not None
    text = command.stdout.readline()
    assert text, "ended without a word more"
    return text


def paused(api: str, command: subprocess.Popen[str]) -> str:
    """The id of the run that waits, once one does."""
    wanted = {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}}
    runs: list[dict[str, Any]] = []

    def one() -> bool:
        runs[:] = found(api, "flow_runs", wanted)
        return bool(runs)

    assert until(one, unless=lambda: command.poll() is not None, pause=0.5)
    return str(runs[0]["id"])


def answered(api: str, run: str, answer: dict[str, str]) -> str:
    """What the server says to an answer."""
    return str(post(f"{api}/flow_runs/{run}/resume", {"run_input": answer})["status"])
