"""Versions of the trained policy in MLflow's registry, and who is challenger and champion.

A version is an MLflow model without weights: the manifest of its files, which DVC holds, its
outcomes on the gate's prompts, and its provenance (recap/tracking/versions.py). Equal content is
one version, on all machines. The alias ``challenger`` goes only to a version that passed its gate;
``champion`` moves by promotion alone. MLflow keeps no history of aliases: every move is first
written down, as a numbered entry of the store, which one of several machines wins
(recap/tracking/entries.py), and in a file of the clone (recap/tracking/history.py). The alias
follows the entries.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recap.analysis.promotion import promotion_decision
from recap.errors import DataError, GateError
from recap.params.whole import Params
from recap.runtime.locks import STATE, exclusive
from recap.tracking.entries import Moves, follow, read_moves
from recap.tracking.history import History, Move, champions, move_now
from recap.tracking.manifest import Content, Manifest, Provenance, check_version
from recap.tracking.runs import FINGERPRINT, experiment_id, write_again
from recap.tracking.store import LOCAL, database, store_name
from recap.tracking.targets import find_model, some, versions_of
from recap.tracking.versions import (
    create_version,
    failed,
    read_evidence,
    read_provenance,
    read_version,
)
from recap.types.decisions import VersionEvidence

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION, CHALLENGER = "champion", "challenger"
FIRST = "`recap run` registers a candidate; it becomes challenger when it passes the gate."
AS_IT_WAS = "Champion and aliases are as they were."


def ensure_registered(
    client: MlflowClient,
    root: Path,
    manifest: Manifest,
    evidence: Path,
    provenance: Provenance,
) -> str:
    """The version that holds ``manifest``, found by content or made; returns its number.

    ``evidence`` is the file that the manifest names. A version keeps the ``provenance`` of its
    first registration. A version that passed and was never champion becomes challenger. What the
    clone's history knows of this store and the store has lost is restored first. Raises DataError
    when the evidence is not what the manifest names.
    """
    kept = History(root, manifest.name, store_name(root))
    content = Content(manifest, read_evidence(evidence), provenance)
    check_version(manifest, content.evidence)
    with exclusive(root / STATE / "registry.lock"):
        kept.keep(content)
        write_again(partial(_restore, client, root, manifest.name, kept))
        write = partial(_registered, client, root, content)
        number = write_again(write)
        if not any(move.fingerprint == manifest.fingerprint for move in kept.moves()):
            kept.append(move_now("register", number, manifest.fingerprint, None))
        _remember(client, kept, manifest.name)
        _settle(client, manifest.name)
    return number


def adopt(client: MlflowClient, root: Path, name: str) -> int:
    """Bring versions and moves of the clone's own store to a server; returns how many moves.

    Contents keep their order and may get other numbers. Raises GateError where the server has moves
    that the clone's own store has not: two histories are not one; DataError where a move of earlier
    times names no content.
    """
    kept, theirs = History(root, name, LOCAL), History(root, name, store_name(root))
    known, keys = kept.moves(), {move.key for move in kept.moves()}
    if nameless := [move for move in known if move.fingerprint is None]:
        raise DataError(
            f"Expected moves that name their version's content, got one of {nameless[0].at} with a "
            "number alone, which is another version's elsewhere. Promote on the server anew."
        )
    with exclusive(root / STATE / "registry.lock"):
        other = [move for move in read_moves(client, name).told if move.key not in keys]
        if other:
            raise GateError(
                f"Expected a store without moves of its own, found {len(other)}, the last on "
                f"{other[-1].at} by {other[-1].by}. Nothing was brought there: promote there anew."
            )
        write_again(partial(_restore, client, root, name, kept))
        _remember(client, theirs, name)
        written = {move.key for move in theirs.moves()}
        numbers = _numbers(client, root, name, kept, set())
        for move in known:
            if move.fingerprint in numbers and move.key not in written:
                number = numbers[move.fingerprint]
                theirs.append(move.model_copy(update={"version": number}))
        _settle(client, name)
    return sum(move.action != "register" for move in known)


def aliases_of(client: MlflowClient, name: str, version: str) -> tuple[str, ...]:
    """The aliases that point to a version."""
    found = _model(client, name).aliases
    return tuple(sorted(alias for alias, number in found.items() if str(number) == version))


def check_store(root: Path) -> None:
    """Raise GateError where nothing was ever published: opening the store would make one."""
    file = database(root)
    if file is not None and not file.is_file():
        raise GateError(f"Expected versions in {file}, found no such store. {FIRST}")


def propose(
    client: MlflowClient, params: Params, version: str | None, override: str | None
) -> Move:
    """What ``promote`` would do now; changes nothing, and raises GateError where it would."""
    return _proposed(
        client, params, version, override, read_moves(client, params.registration.name)
    )


def _proposed(
    client: MlflowClient, params: Params, version: str | None, override: str | None, moves: Moves
) -> Move:
    """The same against the champion at the end of ``moves``."""
    if override is not None and not override.strip():
        raise GateError("Expected the reason of the override, got none. Say why in some words.")
    model = _known(client, params.registration.name)
    champion = _champion(model, moves)
    candidate = _candidate(client, model, version, champion)
    number = str(candidate.version)
    if champion == number:
        raise GateError(f"Version {number} is the champion already; nothing to promote.")
    refused = _refusals(client, params, candidate, champion)
    if refused and override is None:
        raise GateError(
            f"Expected version {number} to be fit for champion, got: {'; '.join(refused)}. "
            f"{AS_IT_WAS} Train a better one, or measure both alike; `recap promote --version "
            f'{number} --override "why"` promotes it all the same, and the history says why.'
        )
    move = move_now("promote", number, candidate.tags[FINGERPRINT], champion, moves.told)
    if refused:
        move = move.model_copy(update={"reason": override, "refused": tuple(refused)})
    return move


def promote(
    client: MlflowClient,
    root: Path,
    params: Params,
    version: str | None,
    override: str | None,
    approved: str | None = None,
) -> Move:
    """Make ``version`` (the challenger, when none is named) the champion.

    Where another machine moves the champion meanwhile, it decides again against the new one.
    ``approved``: who said yes to it and why. Raises GateError when there is none or it is champion
    already; when it did not pass its gate, when it lies below the champion, or when the evidence
    for either answer is missing or unequal, unless ``override`` says why it shall be champion all
    the same.
    """
    name = params.registration.name

    def decide(moves: Moves) -> Move:
        move = _proposed(client, params, version, override, moves)
        return move.model_copy(update={"approved": approved})

    return _make(client, root, name, decide)


def rollback(client: MlflowClient, root: Path, name: str) -> Move:
    """Bring the champion before the present one back; raises GateError when there was none."""

    def decide(moves: Moves) -> Move:
        line = champions(moves.told)
        if len(line) < 2:
            raise GateError(
                f"Expected an earlier champion of {name}, found none in its history. Promote first."
            )
        before = client.get_model_version(name, line[-2])
        return move_now("rollback", line[-2], before.tags[FINGERPRINT], line[-1], moves.told)

    _known(client, name)
    return _make(client, root, name, decide)


def _refusals(
    client: MlflowClient, params: Params, candidate: ModelVersion, champion: str | None
) -> list[str]:
    """What speaks against the candidate; empty where evidence shows that nothing does."""
    try:
        manifest, evidence = read_version(candidate)
    except DataError as error:
        return [f"version {candidate.version} carries no evidence: {error}"]
    refused = [] if manifest.decision.passed else failed(manifest.decision)
    if champion is None:
        return refused
    theirs, lost = None, list[str]()
    try:
        content = read_version(_version(client, params.registration.name, champion))[1]
        theirs = VersionEvidence.model_validate_json(content)
    except DataError as error:
        lost = [f"version {champion}, the champion, carries no evidence: {error}"]
    decision = promotion_decision(
        VersionEvidence.model_validate_json(evidence),
        theirs,
        params.gate,
        names=(f"version {candidate.version}", f"version {champion}"),
        resamples=params.evaluate.bootstrap,
        seed=params.seed,
    )
    return [*refused, *(lost or failed(decision))]


def _model(client: MlflowClient, name: str) -> RegisteredModel:
    """The registered model; it is made when missing."""
    return find_model(client, name) or client.create_registered_model(name)


def _known(client: MlflowClient, name: str) -> RegisteredModel:
    """The registered model; raises GateError when there is none."""
    model = find_model(client, name)
    if model is None:
        raise GateError(f"Expected the registered model {name}, found none. {FIRST}")
    return model


def _alias(model: RegisteredModel, alias: str) -> str | None:
    number = model.aliases.get(alias)
    return None if number is None else str(number)


def _champion(model: RegisteredModel, moves: Moves) -> str | None:
    """Where the history ends, for the alias may lag behind it; by the alias where there is none."""
    return next(iter(champions(moves.told)[-1:]), None) or _alias(model, CHAMPION)


def _candidate(
    client: MlflowClient, model: RegisteredModel, version: str | None, champion: str | None
) -> ModelVersion:
    known = versions_of(client, model.name)
    number = version or _alias(model, CHALLENGER)
    for found in known:
        if str(found.version) == number:
            return found
    listed = some([f"{v.version} ({v.tags.get('gate', 'no gate')})" for v in reversed(known)])
    if version is None and champion is not None:
        raise GateError(
            f"Version {champion} is the champion already, and no version challenges it: nothing to "
            f"promote. There are versions {listed}; --version names one."
        )
    wanted = f"version {version}" if version else f"a version with the alias '{CHALLENGER}'"
    raise GateError(f"Expected {wanted} of {model.name}, found versions {listed}. {FIRST}")


def _version(client: MlflowClient, name: str, number: str) -> ModelVersion:
    """One version; raises DataError when the store has it no more."""
    for found in versions_of(client, name):
        if str(found.version) == number:
            return found
    raise DataError(f"Expected version {number} of {name} in the store, found none.")


def _registered(client: MlflowClient, root: Path, content: Content) -> str:
    """The number of the one version of this content, and its place as challenger.

    No store keeps two machines from making one each at the same moment: all keep the first, and
    the others go, unless somebody gave them an alias.
    """
    name, fingerprint = content.manifest.name, content.manifest.fingerprint
    _model(client, name)
    if not versions_of(client, name, fingerprint):
        create_version(client, experiment_id(client, root), content)
    first, *others = versions_of(client, name, fingerprint)
    model = _model(client, name)
    moved = {move.version for move in read_moves(client, name).told}
    used = moved | {str(number) for number in model.aliases.values()}
    for other in others:
        if str(other.version) not in used:
            client.delete_model_version(name, other.version)
    ours = {str(version.version) for version in (first, *others)}
    if content.manifest.decision.passed and not ours & moved:
        client.set_registered_model_alias(name, CHALLENGER, first.version)
    return str(first.version)


def _restore(client: MlflowClient, root: Path, name: str, kept: History) -> None:
    """Give the store what it has lost of the clone's history: versions and moves.

    Raises DataError when a champion's files are gone from the records.
    """
    known = kept.moves()
    if not known:
        return
    _model(client, name)
    while lost := _lost(known, moves := read_moves(client, name)):
        numbers = _numbers(client, root, name, kept, {move.key for move in lost})
        move = lost[0]
        before = [earlier for earlier in moves.told if earlier.at < move.at]
        more = {
            "version": numbers.get(move.fingerprint, move.version),
            "previous": next(iter(champions(before)[-1:]), None),
        }
        follow(
            client, name, move.model_copy(update=more), moves.last
        )  # or another clone was faster
    if not versions_of(client, name):
        _numbers(client, root, name, kept, set())


def _lost(known: list[Move], moves: Moves) -> list[Move]:
    """The moves that the store has no more, oldest first."""
    there = {move.key for move in moves.told}
    return [move for move in known if move.action != "register" and move.key not in there]


def _numbers(
    client: MlflowClient,
    root: Path,
    name: str,
    kept: History,
    needed: set[tuple[str, str, str | None]],
) -> dict[str | None, str]:
    """The number of each content that the clone knows; what the store lacks is registered again."""
    numbers = {v.tags.get(FINGERPRINT): str(v.version) for v in versions_of(client, name)}
    for move in kept.moves():
        content = move.fingerprint
        if content is None or content in numbers:
            continue
        if move.key in needed or kept.has(content):
            numbers[content] = _registered(client, root, kept.kept(content))
    return numbers


def _settle(client: MlflowClient, name: str) -> None:
    """Have the alias ``champion`` point where the history ends; who was champion challenges not.

    Another machine may add an entry meanwhile: whoever sees no more of them has set the last one.
    """
    last = -1
    while (moves := read_moves(client, name)).last != last:
        last, model = moves.last, _model(client, name)
        known = {str(version.version) for version in versions_of(client, name)}
        line = champions(moves.told)
        if line and _alias(model, CHAMPION) != line[-1] and line[-1] in known:
            client.set_registered_model_alias(name, CHAMPION, line[-1])
        if _alias(model, CHALLENGER) in {move.version for move in moves.told}:
            client.delete_registered_model_alias(name, CHALLENGER)


def _remember(client: MlflowClient, kept: History, name: str) -> None:
    """Add to the clone's file the moves that other clones made in this store."""
    known = {move.key for move in kept.moves()}
    versions = {str(version.version): version for version in versions_of(client, name)}
    for move in read_moves(client, name).told:
        version = versions.get(move.version)
        content = move.fingerprint or (version.tags.get(FINGERPRINT) if version else None)
        told = move.model_copy(update={"fingerprint": content})
        if told.key in known:
            continue
        if version is not None and content is not None and not kept.has(content):
            with contextlib.suppress(DataError):  # made without evidence: only its move is told
                kept.keep(Content(*read_version(version), read_provenance(version)))
        kept.append(told)


def _make(client: MlflowClient, root: Path, name: str, decide: Callable[[Moves], Move]) -> Move:
    """Write down what ``decide`` makes of the moves so far, then have the alias follow.

    It decides anew each time that another machine was faster; each such time somebody got on.
    """
    with exclusive(root / STATE / "registry.lock"):
        moves = read_moves(client, name)
        while not follow(client, name, move := decide(moves), moves.last):
            moves = read_moves(client, name)
        History(root, name, store_name(root)).append(move)
        _settle(client, name)
    return move
