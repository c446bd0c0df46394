"""Which version a person means: by number, by alias, or by MLflow's own address.

Leaves out cells and runs (recap/tracking/lineage.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recap.errors import GateError
from recap.tracking.runs import FINGERPRINT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

SHOWN = 5
"""Names in a message; the rest is counted."""


def find_model(client: MlflowClient, name: str) -> RegisteredModel | None:
    """The registered model; a question makes none."""
    found = client.search_registered_models(f"name = '{name}'", max_results=1)
    return client.get_registered_model(name) if found else None


def versions_of(
    client: MlflowClient, name: str, fingerprint: str | None = None
) -> list[ModelVersion]:
    """All versions, or those of one content, the oldest first."""
    which = "" if fingerprint is None else f" and tags.{FINGERPRINT} = '{fingerprint}'"
    found = client.search_model_versions(f"name = '{name}'{which}")
    return sorted(found, key=lambda version: int(version.version))


def find_version(client: MlflowClient, name: str, target: str) -> ModelVersion | None:
    """The version of ``name`` that ``target`` means, ``None`` if it means none.

    ``3``, ``champion``, ``recap-policy/3``, ``recap-policy@champion``, and the last two after
    ``models:/``.
    """
    model = find_model(client, name)
    if model is None:
        return None
    own = re.sub(rf"^(models:/)?{re.escape(name)}[/@]", "", target)
    number = str(model.aliases.get(own, own))
    found = versions_of(client, name)
    return next((version for version in found if str(version.version) == number), None)


def known_version(client: MlflowClient, name: str, target: str) -> ModelVersion:
    """The same; raises GateError, saying what there is, where there is none."""
    version = find_version(client, name, target)
    if version is None:
        raise GateError(f"Expected a version of {name}, got '{target}'. {offered(client, name)}")
    return version


def offered(client: MlflowClient, name: str) -> str:
    """A sentence about the versions and aliases that there are."""
    model = find_model(client, name)
    if model is None:
        return f"No version of {name} is registered."
    numbers = [str(version.version) for version in reversed(versions_of(client, name))]
    told = [f"{alias} ({number})" for alias, number in model.aliases.items()]
    return f"There are versions {some(numbers)}; aliases {some(told)}."


def some(names: Sequence[str]) -> str:
    """The first names, and how many there are besides."""
    if not names:
        return "none"
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
