"""Loaded rows -> usable prompts: deduplicated, and training decontaminated.

The quarantine list names every raw row that is left out. Bad rows (recap/data/load.py) count
towards ``prepare.max_quarantined``. Duplicates and contaminated rows are valid rows and do not
count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recap.data.decontaminate import contaminated, near_duplicates
from recap.data.load import Loaded, counts_by_reason
from recap.data.mixture import duplicates
from recap.data.sources.registry import LOADERS
from recap.types.datasets import SourceCount
from recap.types.prompts import PromptRecord, QuarantinedRow


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
            lines.append(
                f"{count.loader}: {count.num_rows} rows -> {count.num_train} train, "
                f"{count.num_eval} eval; bad: {count.bad or 'none'}; "
                f"duplicates: {count.num_duplicates}; "
                f"in evaluation too: {_by_source(count.contaminated)}; "
                f"nearly: {_by_source(count.near)}"
            )
        return "\n".join(lines)


def select(sources: Sequence[Loaded]) -> Selection:
    """Leave out duplicates, then training prompts that overlap any loaded evaluation prompt."""
    everything = [located.record for source in sources for located in source.records]
    repeated = duplicates(everything)
    kept = [record for record in everything if record.id not in repeated]
    train = [record for record in kept if record.split == "train"]
    evaluation = [record for record in kept if record.split == "eval"]
    overlap = contaminated(train, evaluation)
    templated = {
        located.record.id
        for source in sources
        if LOADERS[source.loader].templated
        for located in source.records
    }
    near = near_duplicates(
        (record for record in train if record.id not in templated | overlap.keys()), evaluation
    )
    usable = {record.id for record in kept} - overlap.keys() - near.keys()

    set_aside: list[QuarantinedRow] = []
    counts = []
    for source in sources:
        set_aside += source.quarantined
        found: Counter[str] = Counter()
        close: Counter[str] = Counter()
        for located in source.records:
            name = located.record.id
            if name in repeated:
                set_aside.append(located.quarantined(repeated[name]))
            for matches, kind, counts_of in (
                (overlap, "contaminated by", found),
                (near, "near duplicate of", close),
            ):
                if other := matches.get(name):
                    set_aside.append(located.quarantined(f"{kind} {other.source}: {other.id}"))
                    counts_of[other.source] += 1
        records = [located.record for located in source.records]
        splits = Counter(record.split for record in records if record.id in usable)
        counts.append(
            SourceCount(
                loader=source.loader,
                licence=LOADERS[source.loader].licence,
                num_rows=source.num_rows,
                bad=counts_by_reason(source.quarantined),
                num_skipped=source.num_rows - len(source.quarantined) - len(source.records),
                num_duplicates=sum(record.id in repeated for record in records),
                contaminated=dict(found),
                near=dict(close),
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


def _by_source(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "none"
