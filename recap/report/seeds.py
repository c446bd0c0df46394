"""Mean and standard deviation over training seeds, as text; nothing with a single seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recap.analysis.axes import Axes, benchmark_label
from recap.analysis.replicates import Replicates
from recap.analysis.tables import DASH
from recap.report.figures import Roles


@dataclass(frozen=True, slots=True)
class SeedRow:
    """One benchmark: a text for each variant."""

    label: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SeedTable:
    """Variants across, benchmarks down."""

    columns: tuple[str, ...]
    rows: tuple[SeedRow, ...]


def seed_rows(found: Sequence[Replicates], colours: Roles, axes: Axes) -> SeedTable | None:
    """``None`` when there is one seed. The standard deviation divides by n - 1."""
    if not any(each.num_seeds > 1 for each in found):
        return None
    texts = {(each.variant, each.benchmark, each.place): _text(each) for each in found}
    variants = tuple(name for name in colours if any(key[0] == name for key in texts))
    rows = tuple(
        SeedRow(
            benchmark_label(name, round_, axes),
            tuple(texts.get((variant, name, round_), DASH) for variant in variants),
        )
        for name, round_ in dict.fromkeys(key[1:] for key in texts)
    )
    return SeedTable(variants, rows)


def _text(found: Replicates) -> str:
    if found.mean is None:
        return DASH
    spread = "" if found.sd is None else f" ± {100 * found.sd:.1f}"
    return f"{100 * found.mean:.1f}{spread}"
