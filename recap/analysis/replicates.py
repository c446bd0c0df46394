"""The same variant trained from several seeds -> mean and standard deviation of its rates.

The standard deviation shows the variation between trainings, which the interval of one cell cannot
show. Leaves out pooling of completions over seeds, which would hide that variation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from recap.types.results import CellResult


@dataclass(frozen=True, slots=True)
class Replicates:
    """One benchmark and round of one variant over its ``num_seeds`` training seeds that scored.

    ``mean`` is ``None`` without any, ``sd`` (divided by seeds - 1) with fewer than two.
    """

    variant: str
    benchmark: str
    place: int
    mean: float | None
    sd: float | None
    num_seeds: int


def replicates(cells: Sequence[CellResult]) -> list[Replicates]:
    """One row for each variant, benchmark and round, in the order of first appearance."""
    rates: dict[tuple[str, str, int], list[float]] = {}
    for cell in cells:
        for found in cell.results:
            values = rates.setdefault((cell.variant, found.benchmark, found.place), [])
            if found.rate.value is not None:
                values.append(found.rate.value)
    return [
        Replicates(
            *key,
            mean=fmean(values) if values else None,
            sd=stdev(values) if len(values) > 1 else None,
            num_seeds=len(values),
        )
        for key, values in rates.items()
    ]
