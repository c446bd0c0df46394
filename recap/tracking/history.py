"""Who was champion when, why, and by whose hand: a file of the clone that outlives every store.

``records/registry/<name>.jsonl`` has a line for each version that was registered and each move of
the champion, only ever appended, on the disk before the alias moves; beside it lies, by
fingerprint, what each version is made of. From both a lost store is made anew. Leaves out the
registry itself (recap/tracking/registry.py).
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from recap.errors import DataError
from recap.rows import atomic_path, read_json, write_json
from recap.tracking.lines import append_line, read_lines
from recap.tracking.manifest import Content, Manifest, Provenance, check_version
from recap.types.row import Row

RECORDS = Path("records/registry")
MANIFEST, EVIDENCE, PROVENANCE = "manifest.json", "evidence.json", "provenance.json"
"""A version's artifacts, and its files among the records."""
MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"


class Move(Row):
    """A version is registered, or the alias ``champion`` moves to it from ``previous``.

    ``by`` is user and machine, ``fingerprint`` the version's content. ``reason`` is why the
    refusals in ``refused`` were overridden. ``approved`` names who said yes to the promotion in
    Prefect, and why. Moves of earlier times have no more than a version.
    """

    action: Literal["register", "promote", "rollback"]
    version: str
    previous: str | None
    at: str
    by: str | None = None
    fingerprint: str | None = None
    reason: str | None = None
    refused: tuple[str, ...] = ()
    approved: str | None = None

    @property
    def key(self) -> tuple[str, str, str | None]:
        """The same wherever the move is written down: numbers may differ in a store made anew."""
        return self.action, self.at, self.by


class Entry(Row):
    """A line of the file: what happened in which store."""

    store: str
    move: Move


class History:
    """The file of one registered model in a clone; one writer at a time."""

    def __init__(self, root: Path, name: str, store: str) -> None:
        """``store``: lines of others are left aside."""
        self._path = root / RECORDS / f"{name}.jsonl"
        self._folder = root / RECORDS / name
        self._store = store

    def moves(self) -> list[Move]:
        """What happened in this store, oldest first; DataError at a line that does not fit."""
        found = [line.move for line in read_lines(self._path, Entry) if line.store == self._store]
        return sorted(found, key=lambda move: move.at)

    def append(self, move: Move) -> None:
        """Add a line; it is on the disk when this returns."""
        append_line(self._path, Entry(store=self._store, move=move))

    def keep(self, content: Content) -> None:
        """Keep what a version is made of."""
        place = self._folder / content.manifest.fingerprint
        if not (place / PROVENANCE).is_file():  # records of earlier times lack it
            write_json(place / PROVENANCE, content.provenance)
        if not (place / MANIFEST).is_file():
            with atomic_path(place / EVIDENCE) as part:
                part.write_bytes(content.evidence)
            write_json(place / MANIFEST, content.manifest)

    def kept(self, fingerprint: str) -> Content:
        """What ``keep`` kept; raises DataError when it is gone or not what it was."""
        place = self._folder / fingerprint
        if not (place / EVIDENCE).is_file():
            raise DataError(
                f"Expected {place / EVIDENCE} of a version in the history, found none. Put "
                f"{RECORDS} back from a copy, or take the version's lines out of {self._path}."
            )
        manifest, evidence = read_json(place / MANIFEST, Manifest), (place / EVIDENCE).read_bytes()
        check_version(manifest, evidence)
        origin = place / PROVENANCE
        provenance = read_json(origin, Provenance) if origin.is_file() else Provenance()
        return Content(manifest, evidence, provenance)

    def has(self, fingerprint: str) -> bool:
        """Whether the version's files are kept."""
        return (self._folder / fingerprint / MANIFEST).is_file()


def champions(moves: Sequence[Move]) -> list[str]:
    """The line of champions that rollback walks back along; the last one is the present one."""
    line: list[str] = []
    for move in moves:
        if move.action == "rollback":  # two clones at once may both have gone back
            while line[-1:] not in ([], [move.version]):
                line.pop()
            line = line or [move.version]
        elif move.action == "promote" and line[-1:] != [move.version]:
            line.append(move.version)  # a move that was cut off is written twice
    return line


def move_now(
    action: str, version: str, fingerprint: str, previous: str | None, told: Sequence[Move] = ()
) -> Move:
    """What happens now, by this user, and after all that is ``told``, whatever the clocks say."""
    return Move.model_validate(
        {
            "action": action,
            "version": version,
            "previous": previous,
            "at": max([now(), *(_next(move.at) for move in told)]),
            "by": me(),
            "fingerprint": fingerprint,
        }
    )


def now() -> str:
    """The present moment, to the microsecond: moves are put in order by it."""
    return datetime.now(UTC).strftime(MOMENT)


def _next(moment: str) -> str:
    """A microsecond later."""
    read = datetime.strptime(moment, MOMENT)
    return (read + timedelta(microseconds=1)).strftime(MOMENT)


def me() -> str:
    """User and machine; a container may have no name for its user."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
