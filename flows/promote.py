"""Flows ``promote`` and ``rollback``: who serves as champion, decided against today's registry.

What passed its gate may replace the champion where evidence shows that it is not worse; all else is
refused, unless somebody overrides it and says why. The registry keeps the history
(recap/tracking/registry.py).
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from recap.params.whole import read_params
from recap.tracking import registry
from recap.tracking.history import Move
from recap.tracking.runs import open_store


@task(cache_policy=NO_CACHE, persist_result=False, result_serializer="json")
def move_champion(version: str | None, override: str | None) -> Move:
    """Promote one version."""
    with open_store(Path()) as client:
        return registry.promote(client, Path(), read_params(), version, override)


@task(cache_policy=NO_CACHE, persist_result=False, result_serializer="json")
def restore_champion() -> Move:
    """Go back by one champion."""
    with open_store(Path()) as client:
        return registry.rollback(client, Path(), read_params().registration.name)


@flow(name="promote", persist_result=False, result_serializer="json")
def promote(version: str | None = None, override: str | None = None) -> str:
    """Make ``version`` (default: the challenger) the champion; returns a sentence about it.

    ``override``: why, though it would be refused.
    """
    return _say(move_champion(version, override))


@flow(name="rollback", persist_result=False, result_serializer="json")
def rollback() -> str:
    """Bring the champion before this one back; returns a sentence about it."""
    return _say(restore_champion())


def _say(move: Move) -> str:
    before = f" instead of version {move.previous}" if move.previous else ""
    text = f"{move.action}: version {move.version} is champion{before}."
    if move.refused:
        text += f" Overridden because: {move.reason}. Against it: {'; '.join(move.refused)}."
    create_markdown_artifact(key="champion", markdown=text)
    return text
