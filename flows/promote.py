"""Flows ``promote`` and ``rollback``: who serves as champion, decided against today's registry.

What passed its gate may replace the champion where evidence shows that it is not worse; all else is
refused, unless somebody overrides it and says why. Unless the caller approves, a person does in
Prefect's UI; without a yes in time nothing moves. The registry keeps the history
(recap/tracking/registry.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from prefect import pause_flow_run
from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from prefect.runtime import flow_run

from flows.declared import Hours, Reason, Version, recap_flow
from flows.engine import end_with_worker, show
from recap.errors import GateError
from recap.params.whole import read_params
from recap.tracking import registry
from recap.tracking.files import verify
from recap.tracking.history import Move
from recap.tracking.moves import instead, overridden
from recap.tracking.runs import open_store

POLL = 5
"""Seconds between two looks whether somebody has answered."""


class Approval(RunInput):
    """The form of the paused run; every field has to be filled in."""

    decision: Literal["promote", "refuse"]
    who: Reason
    why: Reason


@recap_flow("promote")
def promote(
    version: Version | None = None,
    override: str | None = None,
    approved: bool = False,
    hours: Hours = 24.0,
) -> str:
    """Make a version the champion; returns a sentence about it.

    Raises GateError where the registry refuses it, or a person does, or nobody answers in time, and
    ModelError when a file of the version is lost or is not the registered one.

    Args:
        version: Number of the version; empty means the challenger.
        override: Why it is promoted though the registry refuses it; empty means it is not.
        approved: Promote at once; otherwise the run pauses until a person approves.
        hours: How long the run waits for that person, at most a week.

    """
    end_with_worker()
    said = None
    with open_store(Path()) as client:
        move = registry.propose(client, read_params(), str(version) if version else None, override)
    verify(Path(), move.version)
    if not approved:
        said = _ask(move, hours)
        verify(Path(), move.version)  # hours later
    with open_store(Path()) as client:
        move = registry.promote(client, Path(), read_params(), move.version, override, said)
    return _say(move)


@recap_flow("rollback")
def rollback() -> str:
    """Bring the champion before this one back; returns a sentence about it."""
    with open_store(Path()) as client:
        return _say(registry.rollback(client, Path(), read_params().registration.name))


def _ask(move: Move, hours: float) -> str:
    """Pause until a person says yes; returns who did, and why."""
    question = f"Version {move.version} shall be champion{instead(move)}."
    if move.refused:
        question += f" Override: {move.reason}. Against it: {'; '.join(move.refused)}."
    show(f"{question} Waits {hours:g} hours for an answer at {flow_run.ui_url}")
    form = Approval.with_initial_data(description=question)
    try:
        answer = pause_flow_run(form, timeout=max(1, round(hours * 3600)), poll_interval=POLL)
    except FlowPauseTimeout as error:
        raise GateError(
            f"Expected a yes to version {move.version} within {hours:g} hours, got none. "
            f"{registry.AS_IT_WAS} Promote again and answer in Prefect's UI, or pass --yes."
        ) from error
    said = f"{answer.who}: {answer.why}"
    if answer.decision != "promote":
        raise GateError(f"Version {move.version} was refused by {said}. {registry.AS_IT_WAS}")
    return said


def _say(move: Move) -> str:
    text = f"{move.action}: version {move.version} is champion{instead(move)}."
    if move.approved:
        text += f" Approved by {move.approved}."
    text += overridden(move)
    create_markdown_artifact(key="champion", markdown=text)
    return text
