"""Which version a person means: by number, by alias, or by MLflow's own address.

Leaves out cells and runs (recap/tracking/lineage.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recap.errors import GateError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SHOWN = 5
"""Names in a message; the rest is counted."""


def find_version(client: MlflowClient, name: str, target: str) -> ModelVersion | None:
    """The version of ``name`` that ``target`` means, ``None`` if it means none.

    ``3``, ``champion``, ``recap-policy/3``, ``recap-policy@champion``, and the last two after
    ``models:/``.
    """
    own = re.sub(rf"^(models:/)?{re.escape(name)}[/@]", "", target)
    if not client.search_registered_models(f"name = '{name}'", max_results=1):
        return None
    number = str(client.get_registered_model(name).aliases.get(own, own))
    found = client.search_model_versions(f"name = '{name}'")
    return next((version for version in found if str(version.version) == number), None)


def known_version(client: MlflowClient, name: str, target: str) -> ModelVersion:
    """The same; raises GateError, saying what there is, where there is none."""
    version = find_version(client, name, target)
    if version is None:
        raise GateError(f"Expected a version of {name}, got '{target}'. {offered(client, name)}")
    return version


def offered(client: MlflowClient, name: str) -> str:
    """A sentence about the versions and aliases that there are."""
    if not client.search_registered_models(f"name = '{name}'", max_results=1):
        return f"No version of {name} is registered."
    versions = client.search_model_versions(f"name = '{name}'")
    numbers = sorted((str(v.version) for v in versions), key=int, reverse=True)
    aliases = client.get_registered_model(name).aliases
    told = [f"{alias} ({number})" for alias, number in aliases.items()]
    return f"There are versions {some(numbers)}; aliases {some(told)}."


def some(names: Sequence[str]) -> str:
    """The first names, and how many there are besides."""
    if not names:
        return "none"
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
