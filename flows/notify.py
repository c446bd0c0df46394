"""``python -m flows.notify [TYPE/NAME]``: have the server tell a notification block of failed runs.

``make deploy`` calls it. The automation is the server's: it also sees a run whose process was
killed. Leaves out the block, which holds a secret address and is made in Prefect's UI.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation, EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.actions import SendNotification
from prefect.exceptions import ObjectNotFound

from recap.errors import PipelineError, RecapError

NAME = "recap: notify on failure"
TAG = "notify-on-failure"
"""Deployments whose failures are told have it (infra/prefect.yaml)."""
SUBJECT = "RECAP: {{ flow.name }} {{ flow_run.state.name }}"
BODY = "{{ flow_run.name }}: {{ flow_run.state.message }}\n{{ flow_run | ui_url }}"


def notify(block: str) -> str:
    """Make or update the automation; returns a sentence about what is in force.

    Without a ``block`` nothing changes. Raises PipelineError where the server has no such block.
    """
    with get_client(sync_client=True) as client:
        found = client.read_automations_by_name(NAME)
        if not block:
            if found:
                return f"A failed run notifies as before (automation '{NAME}')."
            return (
                "A failed run notifies nobody. Make a notification block in Prefect's UI (Slack, "
                "e-mail, a webhook, …) and name it: make deploy NOTIFY=slack-webhook/NAME"
            )
        automation = Automation(
            id=found[0].id if found else None,
            name=NAME,
            trigger=EventTrigger(
                expect={f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")},
                match_related={
                    "prefect.resource.id": f"prefect.tag.{TAG}",
                    "prefect.resource.role": "tag",
                },
                for_each={"prefect.resource.id"},
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(0),
            ),
            actions=[
                SendNotification(
                    block_document_id=_block_id(client, block), subject=SUBJECT, body=BODY
                )
            ],
        )
    if found:
        automation.update()
    else:
        automation.create()
    return f"A failed run notifies {block}."


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
        print(notify(" ".join(sys.argv[1:])))
    except RecapError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
