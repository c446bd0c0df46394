"""The data sets and the models that a run was made from, with their licences, as the page's tables.

Leaves out models that the run trained: their data and their first model are in the tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recap.analysis.tables import DASH
from recap.models.records import NO_LICENCE
from recap.types.datasets import SourceCount
from recap.types.origins import Provenance

REVISION_DIGITS = 12


@dataclass(frozen=True, slots=True)
class DataRow:
    """One data set as text; ``left_out`` are its rows that no split has, by reason."""

    name: str
    licence: str
    rows: str
    train: str
    evaluation: str
    left_out: str


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model that was not made here, as text."""

    name: str
    origin: str
    revision: str
    licence: str


@dataclass(frozen=True, slots=True)
class Materials:
    """The section's two tables."""

    data: tuple[DataRow, ...]
    models: tuple[ModelRow, ...]


def materials(counts: Sequence[SourceCount], origins: Mapping[str, Provenance]) -> Materials:
    """Both tables, in the order of the parameters; ``origins`` by the model's name."""
    return Materials(
        data=tuple(_data_row(count) for count in counts),
        models=tuple(
            ModelRow(
                name=name,
                origin=_without_digest(origin),
                revision=origin.revision[:REVISION_DIGITS],
                licence=origin.licence or NO_LICENCE,
            )
            for name, origin in origins.items()
        ),
    )


def _data_row(count: SourceCount) -> DataRow:
    reasons = [count.bad] if count.bad else []
    reasons += [f"not used {count.num_skipped}"] if count.num_skipped else []
    reasons += [f"duplicates {count.num_duplicates}"] if count.num_duplicates else []
    for what, by_source in (("in", count.contaminated), ("nearly in", count.near)):
        reasons += [f"{what} {source} {number}" for source, number in sorted(by_source.items())]
    return DataRow(
        name=count.loader,
        licence=count.licence or NO_LICENCE,
        rows=f"{count.num_rows}",
        train=f"{count.num_train}" if count.num_train else DASH,
        evaluation=f"{count.num_eval}" if count.num_eval else DASH,
        left_out=", ".join(reasons) or DASH,
    )


def _without_digest(origin: Provenance) -> str:
    """The origin as it is spelled in params.yaml, without the digest that is its revision."""
    return origin.origin.removesuffix(f"@{origin.revision}")
