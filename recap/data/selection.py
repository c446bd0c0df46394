"""Loaded rows -> usable prompts: deduplicated, and training decontaminated.

The quarantine list names every raw row that is left out. Bad rows (recap/data/load.py) count
towards ``prepare.max_quarantined``. Duplicates and contaminated rows are valid rows and do not
count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from recap.data.decontaminate import contaminated
from recap.data.load import Loaded, counts_by_reason
from recap.data.mixture import duplicates
from recap.types.prompts import PromptRecord, QuarantinedRow


@dataclass(frozen=True, slots=True)
class SourceCount:
    """Counts of one source's raw rows by fate. ``contaminated`` counts by evaluation source."""

    loader: str
    num_rows: int
    bad: str
    num_duplicates: int
    contaminated: dict[str, int]
    num_train: int
    num_eval: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Usable prompts of both splits, in the order of their sources, and the quarantined rows."""

    train: tuple[PromptRecord, ...]
    eval: tuple[PromptRecord, ...]
    set_aside: tuple[QuarantinedRow, ...]
    counts: tuple[SourceCount, ...]

    def summary(self) -> str:
        """One line for each source."""
        lines = []
        for count in self.counts:
            overlap = ", ".join(f"{name} {n}" for name, n in sorted(count.contaminated.items()))
            lines.append(
                f"{count.loader}: {count.num_rows} rows -> {count.num_train} train, "
                f"{count.num_eval} eval; bad: {count.bad or 'none'}; "
                f"duplicates: {count.num_duplicates}; in evaluation too: {overlap or 'none'}"
            )
        return "\n".join(lines)


def select(sources: Sequence[Loaded]) -> Selection:
    """Leave out duplicates, then training prompts that overlap any loaded evaluation prompt."""
    everything = [located.record for source in sources for located in source.records]
    repeated = duplicates(everything)
    kept = [record for record in everything if record.id not in repeated]
    overlap = contaminated(
        (record for record in kept if record.split == "train"),
        (record for record in kept if record.split == "eval"),
    )
    usable = {record.id for record in kept} - overlap.keys()

    set_aside: list[QuarantinedRow] = []
    counts = []
    for source in sources:
        set_aside += source.quarantined
        found: Counter[str] = Counter()
        for located in source.records:
            name = located.record.id
            if name in repeated:
                set_aside.append(located.quarantined(repeated[name]))
            elif name in overlap:
                other = overlap[name]
                set_aside.append(located.quarantined(f"contaminated by {other.source}: {other.id}"))
                found[other.source] += 1
        records = [located.record for located in source.records]
        splits = Counter(record.split for record in records if record.id in usable)
        counts.append(
            SourceCount(
                loader=source.loader,
                num_rows=source.num_rows,
                bad=counts_by_reason(source.quarantined),
                num_duplicates=sum(record.id in repeated for record in records),
                contaminated=dict(found),
                num_train=splits["train"],
                num_eval=splits["eval"],
            )
        )
    return Selection(
        train=tuple(r for r in kept if r.split == "train" and r.id in usable),
        eval=tuple(r for r in kept if r.split == "eval"),
        set_aside=tuple(set_aside),
        counts=tuple(counts),
    )
