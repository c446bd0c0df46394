"""Versions of the trained policy in MLflow's registry, and who is challenger and champion.

A version is light: the manifest of its files, which DVC holds. Equal content is one version. The
alias ``challenger`` goes only to what passed its gate; ``champion`` moves by promotion alone.
MLflow keeps no history of aliases, so every move is written down as a tag of the model first.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from recap.errors import GateError
from recap.locks import STATE, exclusive
from recap.manifest import Manifest, Rate
from recap.rows import write_json
from recap.tracking import FINGERPRINT, experiment_id, local_store, store_uri
from recap.types import Row

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION, CHALLENGER = "champion", "challenger"
PASSED, REFUSED = "passed", "refused"
HISTORY = "history."
"""Beginning of the model's tags that hold one Move each, numbered."""
FIRST = "`recap run` registers a candidate; it becomes challenger when it passes the gate."
EVALUATION = "data/prompts/eval.jsonl"
"""Rates compare only between versions measured on the same prompts."""


class Move(Row):
    """One move of the alias ``champion``."""

    action: Literal["promote", "rollback"]
    version: str
    previous: str | None
    at: str


def ensure_registered(
    client: MlflowClient, root: Path, manifest: Manifest, provenance: Mapping[str, str]
) -> str:
    """The version that holds ``manifest``, found by content or made; returns its number.

    ``provenance`` are tags the content does not imply; those it has already stay. A version that
    passed and was never champion becomes challenger.
    """
    with exclusive(root / STATE / "registry.lock"):
        _model(client, manifest.name)
        version = _find(client, manifest) or _create(client, root, manifest)
        for key, text in provenance.items():
            if key not in version.tags:
                client.set_model_version_tag(manifest.name, version.version, key, text)
        number = str(version.version)
        moved = {move.version for move in history(_model(client, manifest.name).tags)}
        if manifest.decision.passed and number not in moved:
            client.set_registered_model_alias(manifest.name, CHALLENGER, number)
    return number


def aliases_of(client: MlflowClient, name: str, version: str) -> tuple[str, ...]:
    """The aliases that point to a version."""
    found = _model(client, name).aliases
    return tuple(sorted(alias for alias, number in found.items() if str(number) == version))


def check_store(root: Path) -> None:
    """Raise GateError where nothing was ever published: opening the store would make one."""
    if store_uri(root).startswith("sqlite:///") and not local_store(root).is_file():
        raise GateError(f"Expected versions in {local_store(root)}, found no such store. {FIRST}")


def promote(client: MlflowClient, root: Path, name: str, version: str | None) -> Move:
    """Make ``version`` (the challenger, when none is named) the champion.

    Raises GateError when there is none, when it did not pass its gate, when it is champion
    already, or when a rate lies below the champion's with the intervals apart.
    """
    with exclusive(root / STATE / "registry.lock"):
        model = _known(client, name)
        candidate = _candidate(client, model, version)
        number = str(candidate.version)
        if candidate.tags.get("gate") != PASSED:
            reasons = candidate.tags.get("gate_reasons", "it carries no gate decision")
            raise GateError(
                f"Expected a version that passed its gate, got version {number}: {reasons}. "
                "Train a better one; the gate's floors stand in params.yaml."
            )
        champion = _alias(model, CHAMPION)
        if champion == number:
            raise GateError(f"Version {number} is the champion already; nothing to promote.")
        if champion is not None:
            worse = worse_rates(candidate.tags, client.get_model_version(name, champion).tags)
            if worse:
                raise GateError(
                    f"Expected version {number} to be no worse than the champion, version "
                    f"{champion}, got: {'; '.join(worse)}. Champion and aliases are as they were."
                )
        return _move(
            client, model, Move(action="promote", version=number, previous=champion, at=_now())
        )


def rollback(client: MlflowClient, root: Path, name: str) -> Move:
    """Bring the champion before the present one back; raises GateError when there was none."""
    with exclusive(root / STATE / "registry.lock"):
        model = _known(client, name)
        line = champions(history(model.tags))
        if len(line) < 2:
            raise GateError(
                f"Expected an earlier champion of {name}, found none in its history. Promote first."
            )
        move = Move(action="rollback", version=line[-2], previous=line[-1], at=_now())
        return _move(client, model, move)


def history(tags: Mapping[str, str]) -> list[Move]:
    """All moves of the alias ``champion``, oldest first, from a model's tags."""
    keys = sorted(key for key in tags if key.startswith(HISTORY))
    return [Move.model_validate_json(tags[key]) for key in keys]


def champions(moves: Sequence[Move]) -> list[str]:
    """The line of champions that rollback walks back along; the last one is the present one."""
    line: list[str] = []
    for move in moves:
        if move.action == "rollback":
            line.pop()
        elif line[-1:] != [move.version]:  # a move that was cut off is written twice
            line.append(move.version)
    return line


def worse_rates(candidate: Mapping[str, str], champion: Mapping[str, str]) -> list[str]:
    """Rates of a version (by its tags) that lie below the champion's with intervals apart.

    Empty when the two were measured on different prompts: such rates do not compare.
    """
    data = [json.loads(tags.get("data", "{}")).get(EVALUATION) for tags in (candidate, champion)]
    if data[0] is None or data[0] != data[1]:
        return []
    mine, theirs = (_rates(tags) for tags in (candidate, champion))
    worse = []
    for name in sorted(mine.keys() & theirs.keys()):
        high, low = mine[name].high, theirs[name].low
        if high is not None and low is not None and high < low:
            worse.append(f"{name} at most {high:.1%} against at least {low:.1%}")
    return worse


def _rates(tags: Mapping[str, str]) -> dict[str, Rate]:
    return {key: Rate.model_validate(rate) for key, rate in json.loads(tags["rates"]).items()}


def _model(client: MlflowClient, name: str) -> RegisteredModel:
    """The registered model; it is made when missing."""
    found = client.search_registered_models(f"name = '{name}'", max_results=1)
    return client.get_registered_model(name) if found else client.create_registered_model(name)


def _known(client: MlflowClient, name: str) -> RegisteredModel:
    """The registered model; a question makes none. Raises GateError when there is none."""
    if not client.search_registered_models(f"name = '{name}'", max_results=1):
        raise GateError(f"Expected the registered model {name}, found none. {FIRST}")
    return client.get_registered_model(name)


def _alias(model: RegisteredModel, alias: str) -> str | None:
    number = model.aliases.get(alias)
    return None if number is None else str(number)


def _candidate(client: MlflowClient, model: RegisteredModel, version: str | None) -> ModelVersion:
    known = client.search_model_versions(f"name = '{model.name}'")
    number = version or _alias(model, CHALLENGER)
    for found in known:
        if str(found.version) == number:
            return found
    listed = ", ".join(
        f"{v.version} ({v.tags.get('gate', 'no gate')})"
        for v in sorted(known, key=lambda v: int(v.version))
    )
    wanted = f"version {version}" if version else f"a version with the alias '{CHALLENGER}'"
    raise GateError(
        f"Expected {wanted} of {model.name}, found versions {listed or 'none'}. {FIRST}"
    )


def _find(client: MlflowClient, manifest: Manifest) -> ModelVersion | None:
    query = f"name = '{manifest.name}' and tags.{FINGERPRINT} = '{manifest.fingerprint}'"
    return next(iter(client.search_model_versions(query, max_results=1)), None)


def _create(client: MlflowClient, root: Path, manifest: Manifest) -> ModelVersion:
    """A version whose only artifact is the manifest."""
    experiment = experiment_id(client, root)
    holder = client.create_logged_model(experiment, name=manifest.candidate)
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "manifest.json", manifest)
        client.log_model_artifacts(holder.model_id, folder)
    client.finalize_logged_model(holder.model_id, "READY")
    failed = [check for check in manifest.decision.checks if not check.passed]
    reasons = "; ".join(f"{c.name}: {c.measured}, required {c.required}" for c in failed)
    return client.create_model_version(
        manifest.name,
        source=holder.artifact_location,
        model_id=holder.model_id,
        tags={
            FINGERPRINT: manifest.fingerprint,
            "candidate": manifest.candidate,
            "gate": PASSED if manifest.decision.passed else REFUSED,
            "gate_reasons": reasons or "every check passed",
            "rates": json.dumps({k: rate.model_dump() for k, rate in manifest.rates.items()}),
        },
    )


def _move(client: MlflowClient, model: RegisteredModel, move: Move) -> Move:
    """Write the move down, then make it."""
    number = len(history(model.tags)) + 1
    client.set_registered_model_tag(model.name, f"{HISTORY}{number:05d}", move.model_dump_json())
    client.set_registered_model_alias(model.name, CHAMPION, move.version)
    if _alias(model, CHALLENGER) == move.version:
        client.delete_registered_model_alias(model.name, CHALLENGER)
    return move


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
