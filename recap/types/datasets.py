"""What became of a data set's rows."""

from __future__ import annotations

from recap.types.row import Row


class SourceCount(Row):
    """Counts of one source's raw rows by fate, and its licence (``None``: none stated).

    ``bad`` says the reasons with their counts. ``num_skipped`` rows are none of the loader's
    (XSTest's contrast prompts). ``contaminated`` and ``near`` count training prompts
    that are an evaluation prompt or nearly one, by its source.
    """

    loader: str
    licence: str | None
    num_rows: int
    bad: str
    num_skipped: int
    num_duplicates: int
    contaminated: dict[str, int]
    near: dict[str, int]
    num_train: int
    num_eval: int
