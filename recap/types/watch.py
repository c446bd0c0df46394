"""An attack made anew on a version that serves: what it measured, and against what."""

from __future__ import annotations

from recap.types.results import BenchmarkResult
from recap.types.row import Row


class Gated(Row):
    """One gated benchmark and round: the rate at registration, the gate's floor, the alarms.

    ``registered`` is ``None`` if registration scored nothing, ``floor`` if the gate has none.
    """

    benchmark: str
    place: int
    registered: float | None
    floor: float | None
    alarms: tuple[str, ...]


class Watched(Row):
    """One attack: when, by whom, on which version, what was measured and alarmed.

    ``number`` is the seed of the draws. ``settings`` is a digest of the parameters. ``gated`` is
    empty in lines that were written before it was kept.
    """

    at: str
    by: str
    version: str
    fingerprint: str
    number: int
    settings: str
    results: tuple[BenchmarkResult, ...]
    gated: tuple[Gated, ...] = ()
    alarms: tuple[str, ...]
