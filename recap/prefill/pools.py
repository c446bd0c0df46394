"""Which benchmarks read a source's pool: of those alone are thoughts drawn.

A table of its own, so that a benchmark that reads none can be declared without drawing thoughts
anew; a test compares it with the declarations. Leaves out the drawing: source.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from recap.params.attack import PrefilledDomain
from recap.types.row import Domain
from recap.types.sources import SOURCES, TRAIN_SOURCES, Source

SEARCHES: dict[str, Source] = {"search": "harmful_eval", "benign_search": "refusing_eval"}
"""Benchmarks that search a pool, and whose."""
TRANSFERS: dict[str, PrefilledDomain] = {"transfer": "harmful", "benign_transfer": "benign"}
"""Benchmarks that compare the sources of ``attack.transfer_sources``, and in which domain. Of
training's sources they read the pool, of evaluation's the prefills."""


def pool_domains(
    source: str,
    benchmarks: Iterable[str],
    transfer_sources: Mapping[PrefilledDomain, Sequence[Source]],
) -> set[Domain]:
    """The domains in which one of the benchmarks reads the pool of ``source``."""
    found: set[Domain] = set()
    for name in benchmarks:
        if SEARCHES.get(name) == source:
            found.update(SOURCES[source].domains)
        domain = TRANSFERS.get(name)
        if domain and source in TRAIN_SOURCES and source in transfer_sources[domain]:
            found.add(domain)
    return found
