"""Raw rows -> located prompt records; quarantines unusable rows with their place.

One bad row never stops the loading. Too many bad rows do: ``check_quarantined`` is called after the
quarantine list is on disk, so that the list can be read after the failure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from recap.data.mixture import quotas
from recap.data.sources.checks import record_fault
from recap.data.sources.hub import fetch
from recap.data.sources.rawrow import Loader, RawRow, Request, RowFault
from recap.data.sources.registry import LOADERS, check_loaders
from recap.errors import DataError
from recap.models.spelling import in_hub
from recap.params.prepare import Prepare
from recap.params.world import World
from recap.types.prompts import PromptRecord, QuarantinedRow


@dataclass(frozen=True, slots=True)
class LocatedRecord:
    """A prompt record and the place of its raw row."""

    record: PromptRecord
    file: str
    line: int

    def quarantined(self, reason: str) -> QuarantinedRow:
        """The same row, set aside for ``reason``."""
        return QuarantinedRow(file=self.file, line=self.line, id=self.record.id, reason=reason)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of one loader. ``num_rows`` counts all raw rows, including quarantined ones."""

    loader: str
    records: tuple[LocatedRecord, ...]
    quarantined: tuple[QuarantinedRow, ...]
    num_rows: int


def parse(
    loader: Loader, row: RawRow, max_words: int, tags: Sequence[str] = ()
) -> LocatedRecord | QuarantinedRow | None:
    """Parse one raw row; ``None`` if the loader says that it is not part of the prompt set."""
    if row.fault is not None:
        return QuarantinedRow(file=row.file, line=row.line, id=None, reason=row.fault)
    try:
        record = loader.record(row)
    except RowFault as fault:
        return QuarantinedRow(file=row.file, line=row.line, id=None, reason=str(fault))
    if record is None:
        return None
    located = LocatedRecord(record, row.file, row.line)
    reason = record_fault(record, max_words, tags)
    if reason is None:
        return located
    # An invalid id may contain text of the row, so it is not repeated.
    shown = None if reason.startswith("id ") else record.id
    return QuarantinedRow(file=row.file, line=row.line, id=shown, reason=reason)


def load(loader: Loader, request: Request, max_words: int, tags: Sequence[str] = ()) -> Loaded:
    """All rows of one source.

    Raises DataError if it has no rows, or if an evaluation-only source yields a training row.
    """
    records: dict[str, LocatedRecord] = {}
    quarantined = []
    num_rows = 0
    for row in loader.rows(request):
        num_rows += 1
        parsed = parse(loader, row, max_words, tags)
        if isinstance(parsed, QuarantinedRow):
            quarantined.append(parsed)
        elif parsed is None:
            continue
        elif loader.eval_only and parsed.record.split != "eval":
            raise DataError(
                f"Expected only evaluation rows from {loader.name}, got a training row "
                f"({parsed.file}:{parsed.line}). This source may never be trained on."
            )
        elif parsed.record.id in records:
            quarantined.append(parsed.quarantined("duplicate id"))
        else:
            records[parsed.record.id] = parsed
    if num_rows == 0:
        raise DataError(
            f"Expected rows from the source {loader.name}, got an empty data set"
            f"{f' in {request.directory}' if request.directory else ''}. "
            f"Fetch it again or take {loader.name} out of prepare.sources."
        )
    return Loaded(loader.name, tuple(records.values()), tuple(quarantined), num_rows)


def load_sources(
    section: Prepare, world: World, seed: int, tags: Sequence[str] = ()
) -> list[Loaded]:
    """Every source of ``prepare.sources``, in the registry's order; ``tags``: no text has them.

    Raises ParameterError for an unknown loader, and DataError as ``load`` does.
    """
    check_loaders(section)
    train_rows = max(quotas(section.mixture, section.train_prompts).values())
    return [
        load(
            loader,
            Request(
                _folder(section.sources[name], loader),
                world,
                seed,
                train_rows,
                section.eval_prompts,
            ),
            section.max_words,
            tags,
        )
        for name, loader in LOADERS.items()
        if name in section.sources
    ]


def _folder(source: Path | None, loader: Loader) -> Path | None:
    """Where the source's files lie, fetched from the hub if need be."""
    if source is None or not in_hub(source):
        return source
    return fetch(source, loader.name, loader.files)


def check_quarantined(sources: Iterable[Loaded], max_share: float, listed_in: Path) -> None:
    """Raises DataError if the share of bad rows in a source exceeds ``max_share``.

    The share is per source, so that a large training set does not hide a bad evaluation set.
    """
    for source in sources:
        share = len(source.quarantined) / source.num_rows
        if share > max_share:
            raise DataError(
                f"Expected at most {max_share:.2%} bad rows in {source.loader} "
                f"(prepare.max_quarantined), got {len(source.quarantined)} of {source.num_rows} "
                f"({share:.2%}): {counts_by_reason(source.quarantined)}. They are listed in "
                f"{listed_in}; mend the source or raise the limit."
            )


def counts_by_reason(rows: Sequence[QuarantinedRow]) -> str:
    """``duplicate id 2, prompt: empty 1``, the most frequent first."""
    counts = Counter(row.reason for row in rows)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count}" for reason, count in ordered)
