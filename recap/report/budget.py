"""The token budget: mean generated tokens of thought and response, by benchmark and cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recap.analysis.axes import Axes, benchmark_label
from recap.analysis.tables import DASH, index, main_keys
from recap.report.figures import Roles, cell_label
from recap.types.results import CellResult


@dataclass(frozen=True, slots=True)
class TokenBar:
    """One cell: the two lengths in percent of the longest bar; ``None`` if not measured."""

    label: str
    colour: str
    thought: float | None
    response: float | None
    text: str


@dataclass(frozen=True, slots=True)
class TokenGroup:
    """One benchmark with a bar for each cell."""

    label: str
    bars: tuple[TokenBar, ...]


def token_groups(cells: Sequence[CellResult], colours: Roles, axes: Axes) -> list[TokenGroup]:
    """The main benchmarks, all on one scale."""
    wanted = main_keys(cells)
    keys = [
        key for key in dict.fromkeys(key for cell in cells for key in index(cell)) if key in wanted
    ]
    totals = [
        found.mean_cot_tokens + found.mean_response_tokens
        for cell in cells
        for key, found in index(cell).items()
        if key in wanted
        and found.mean_cot_tokens is not None
        and found.mean_response_tokens is not None
    ]
    scale = 100 / max(totals, default=0) if any(totals) else 0.0
    groups = []
    for key in keys:
        bars = []
        for cell in cells:
            found, name = index(cell).get(key), cell_label(cell, cells)
            thought = found.mean_cot_tokens if found else None
            response = found.mean_response_tokens if found else None
            if thought is None or response is None:
                bars.append(TokenBar(name, colours[cell.variant], None, None, DASH))
                continue
            bars.append(
                TokenBar(
                    name,
                    colours[cell.variant],
                    round(scale * thought, 2),
                    round(scale * response, 2),
                    f"{thought:.0f} + {response:.0f}",
                )
            )
        groups.append(TokenGroup(benchmark_label(*key, axes), tuple(bars)))
    return groups
