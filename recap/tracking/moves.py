"""What happened to the versions, and what a promotion would do now, in words.

Reads only. Leaves out the making of moves (recap/tracking/registry.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recap.params.whole import read_params
from recap.tracking.entries import read_moves
from recap.tracking.files import verify
from recap.tracking.history import History, Move
from recap.tracking.registry import check_store, propose
from recap.tracking.runs import open_store
from recap.tracking.store import store_name


def told(root: Path) -> Iterator[str]:
    """A line for each move, oldest first: of the clone's file, and of the store where it differs.

    Raises GateError where nothing was ever published.
    """
    check_store(root)
    name = read_params(root / "params.yaml").registration.name
    with open_store(root) as client:
        theirs = read_moves(client, name).told
    ours = History(root, name, store_name(root)).moves()
    moves = {move.key: move for move in [*ours, *theirs]}
    if not moves:
        yield f"Nothing has happened to {name} yet."
    for move in sorted(moves.values(), key=lambda move: move.at):
        yield _line(move)


def would_promote(root: Path, version: str | None, override: str | None) -> str:
    """A sentence about the promotion; raises GateError where it would be refused."""
    check_store(root)
    with open_store(root) as client:
        move = propose(client, read_params(root / "params.yaml"), version, override)
    verify(root, move.version)
    said = f"Version {move.version} would be champion{instead(move)}. Nothing was changed."
    return said + overridden(move)


def _line(move: Move) -> str:
    text = f"{move.at}  {move.action}  version {move.version}"
    if move.action != "register":
        text += instead(move)
    text += f", by {move.by}" if move.by else ""
    text += f", approved by {move.approved}" if move.approved else ""
    return f"{text}.{overridden(move)}"


def instead(move: Move) -> str:
    """Of which version, if there was a champion."""
    return f" instead of version {move.previous}" if move.previous else ""


def overridden(move: Move) -> str:
    """A sentence on what was overridden and why, if anything was."""
    if not move.refused:
        return ""
    return f" Overridden because: {move.reason}. Against it: {'; '.join(move.refused)}."
