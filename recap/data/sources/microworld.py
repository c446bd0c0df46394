"""The microworld's own requests and sums: training and evaluation rows generated from the seed."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from recap.data.sources.rawrow import OWN, Loader, RawRow, Request, RowFault, fields
from recap.microworld.grammar import World
from recap.microworld.records import make_records
from recap.types.prompts import PromptRecord, Split


def rows(request: Request) -> Iterator[RawRow]:
    """Rows of all four sets; objects, frames and wrappers of the two splits are disjoint."""
    world = World(request.world, request.seed)
    sizes: dict[Split, int] = {"train": request.train_rows, "eval": request.eval_rows}
    for split, per_set in sizes.items():
        for number, record in enumerate(make_records(world, split, per_set), start=1):
            yield RawRow(f"microworld/{split}", number, split, record.model_dump())


def record(row: RawRow) -> PromptRecord:
    """The row as a record, which it is already; raises RowFault if it is invalid."""
    try:
        found = PromptRecord.model_validate(dict(fields(row)))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        column = first["loc"][0] if first["type"] != "extra_forbidden" else "unknown column"
        raise RowFault(f"wrong type: {column}") from None
    if found.split != row.split:
        raise RowFault("split: not that of its file")
    return found


LOADER = Loader(
    "microworld", eval_only=False, rows=rows, record=record, templated=True, licence=OWN
)
