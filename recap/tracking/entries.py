"""The moves of the champion in a store: numbered entries, of which only one can follow another.

MLflow's aliases and tags are last-write-wins, so that they exclude nobody. A version's number is
unique in the store's database, whichever machine asks for it: the entries are the versions of a
registered model of their own. Each names the entry that its writer had read last. Where two name
the same, the one with the lower number holds and the other is void, for every reader alike. Nothing
is locked, so that a writer that dies blocks nobody. Leaves out what may move
(recap/tracking/registry.py) and the clone's own file (recap/tracking/history.py).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recap.errors import DataError
from recap.tracking.history import Move
from recap.tracking.targets import versions_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

SUFFIX = ".moves"
"""What the model of the entries is called after the name of the model that they are about."""
MOVE, AFTER, TOKEN = "move", "after", "token"
"""Tags of an entry: the Move; the number of the entry that it follows; who wrote it."""
EARLIER = "history."
"""Beginning of the model's tags that held one Move each in earlier times."""


@dataclass(frozen=True, slots=True)
class Moves:
    """All moves, oldest first, and the number of the last entry that holds (0: none)."""

    told: list[Move]
    last: int
    tokens: frozenset[str]


def read_moves(client: MlflowClient, name: str) -> Moves:
    """What happened to the champion of ``name``; raises DataError where an entry was deleted."""
    model = client.search_registered_models(f"name = '{name}'", max_results=1)
    tags = model[0].tags if model else {}
    told = [Move.model_validate_json(tags[key]) for key in tags if key.startswith(EARLIER)]
    last, tokens = 0, set[str]()
    for number, entry in enumerate(versions_of(client, f"{name}{SUFFIX}"), start=1):
        if int(entry.version) != number:
            raise DataError(
                f"Expected the entries of {name}{SUFFIX} without a gap, found no number {number}: "
                "somebody deleted it. Restore the store from its backup, or delete the registered "
                f"model {name}{SUFFIX} whole and run `recap publish` in each clone: it writes the "
                "moves again from the clone's records."
            )
        if int(entry.tags[AFTER]) == last:
            last = number
            tokens.add(entry.tags[TOKEN])
            told.append(Move.model_validate_json(entry.tags[MOVE]))
    return Moves(sorted(told, key=lambda move: move.at), last, frozenset(tokens))


def follow(client: MlflowClient, name: str, move: Move, last: int) -> bool:
    """Write ``move`` as the entry after ``last``; whether no other came first.

    Whoever gets False has to read again before deciding anything.
    """
    if last == 0:
        _ensure_model(client, f"{name}{SUFFIX}")
    token = secrets.token_hex(8)  # a repeated request may leave a second, void entry
    client.create_model_version(
        f"{name}{SUFFIX}",
        source=f"recap:/{name}/{move.version}",  # artifacts it has none; a server wants a path
        tags={MOVE: move.model_dump_json(), AFTER: str(last), TOKEN: token},
        description=f"{move.action}: version {move.version} of {name}, by {move.by}",
        await_creation_for=0,
    )
    return token in read_moves(client, name).tokens


def _ensure_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(
            name, description="Entries of `recap history`, one for each move; delete none."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # else another process was faster
            raise
