"""``python -m flows.automations [TYPE/NAME]``: what the server does by itself about our runs.

``recap deploy`` calls it. Automations of the server see what a killed process cannot tell: a run
that ended badly is told to a notification block, and a run of which nothing is heard is closed, so
that its deployment has its one place again. Leaves out the block, which holds a secret address and
is made in Prefect's UI.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation, EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, SendNotification
from prefect.exceptions import ObjectNotFound

from recap.errors import PipelineError, RecapError

NOTIFY = "recap: notify on failure"
LOST = "recap: close lost runs"
STOPPED = "recap: close cancelled runs"
TAG = "notify-on-failure"
"""Deployments whose failures are told have it (infra/prefect.yaml)."""
SUBJECT = "RECAP: {{ flow.name }} {{ flow_run.state.name }}"
BODY = "{{ flow_run.name }}: {{ flow_run.state.message }}\n{{ flow_run | ui_url }}"
SILENCE = timedelta(minutes=10)
"""Ten heartbeats of a deployment's run (infra/prefect.yaml)."""
OPEN = ("Pending", "Running", "Paused", "heartbeat")
"""Events after which a run has a process, or soon will, so that another event has to come."""
ENDS = ("Completed", "Failed", "TimedOut", "Crashed", "Cancelled")


def notify(block: str) -> str:
    """Have failed runs told to ``block``; returns a sentence about what is in force.

    Without a ``block`` nothing changes. Raises PipelineError where the server has no such block.
    """
    with get_client(sync_client=True) as client:
        if not block:
            if client.read_automations_by_name(NOTIFY):
                return f"A failed run notifies as before (automation '{NOTIFY}')."
            return (
                "A failed run notifies nobody. Make a notification block in Prefect's UI (Slack, "
                "e-mail, a webhook, …) and name it: recap deploy --notify slack-webhook/NAME"
            )
        trigger = EventTrigger(
            expect={f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")},
            match_related=_tagged(TAG),
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        )
        told = SendNotification(
            block_document_id=_block_id(client, block), subject=SUBJECT, body=BODY
        )
        _put(client, NOTIFY, trigger, told)
    return f"A failed run notifies {block}."


def close_lost(silence: timedelta = SILENCE) -> str:
    """Have the server close runs whose process is gone; returns a sentence about it.

    A run without a sign of life is set Crashed. One that was cancelled meanwhile may only become
    Cancelled, and there the sign of life is its end. No state is forced: an end that comes first
    stays.
    """
    seconds = f"{silence.total_seconds():g} s"
    with get_client(sync_client=True) as client:
        _put(
            client,
            LOST,
            _silent(OPEN, ("*",), silence),
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                message=f"Its worker or machine is gone: no sign of life for {seconds}.",
            ),
        )
        _put(
            client,
            STOPPED,
            _silent(("Cancelling",), ENDS, silence),
            ChangeFlowRunState(
                state=StateType.CANCELLED,
                name="Cancelled",
                message=f"Nobody stopped it within {seconds}: its worker or machine is gone.",
            ),
        )
    return f"A run without a sign of life for {seconds} is closed."


def _silent(after: Sequence[str], expect: Sequence[str], within: timedelta) -> EventTrigger:
    """One of our runs had an event of ``after``, and none of ``expect`` within that time."""
    return EventTrigger(
        after={f"prefect.flow-run.{event}" for event in after},
        expect={f"prefect.flow-run.{event}" for event in expect},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related=_tagged("recap"),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=within,
    )


def _tagged(tag: str) -> dict[str, str]:
    return {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}


def _put(client: SyncPrefectClient, name: str, trigger: EventTrigger, action: ActionTypes) -> None:
    """Make or update the one automation of that name."""
    found = client.read_automations_by_name(name)
    automation = Automation(
        id=found[0].id if found else None, name=name, trigger=trigger, actions=[action]
    )
    if found:
        automation.update()
    else:
        automation.create()


def _block_id(client: SyncPrefectClient, block: str) -> UUID:
    kind, _, name = block.partition("/")
    try:
        return client.read_block_document_by_name(name, kind).id
    except ObjectNotFound:
        raise PipelineError(
            f"Expected a notification block TYPE/NAME on {client.api_url}, got '{block}', which is "
            "not there. `prefect block ls` lists the blocks; Prefect's UI makes one."
        ) from None


if __name__ == "__main__":
    try:
        print(close_lost())
        print(notify(" ".join(sys.argv[1:])))
    except RecapError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
