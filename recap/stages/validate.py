"""Stage ``validate``: Great Expectations on one table -> JSON result and Data Docs.

A violated expectation fails the stage, after result and pages are written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recap.data.tables import Table, prefill_tables, prompt_tables, verdict_tables
from recap.errors import ExpectationError, ParameterError, choices
from recap.params.matrix import TABLES
from recap.params.whole import read_params
from recap.rows import read_rows, write_json
from recap.runtime.stage import run_stage
from recap.types.prompts import Prefill, PromptRecord
from recap.types.verdicts import Verdict


def main(
    table: Annotated[str, typer.Argument(help="prompts, prefills or verdicts.")],
    prompts: Annotated[Path, typer.Option(help="Folder of train.jsonl and eval.jsonl.")],
    prefills: Annotated[Path, typer.Option(help="Folder of one file per prefill source.")],
    verdicts: Annotated[Path, typer.Option(help="Folder of one file per trained cell.")],
    out: Annotated[Path, typer.Option(help="Output file of the JSON result.")],
    docs: Annotated[Path, typer.Option(help="Folder of the Data Docs, replaced as a whole.")],
) -> None:
    """Check one table and fail when an expectation is violated."""
    params = read_params()
    train = read_rows(prompts / "train.jsonl", PromptRecord)
    evaluation = read_rows(prompts / "eval.jsonl", PromptRecord)
    tables: tuple[Table, ...]
    if table == "prompts":
        tables = prompt_tables(train, evaluation, params.prepare)
    elif table == "prefills":
        found: dict[str, list[Prefill]] = {
            source: read_rows(prefills / f"{source}.jsonl", Prefill)
            for source in params.matrix.sources
        }
        tables = prefill_tables(found, train, evaluation)
    elif table == "verdicts":
        cells = [
            f"{name}-{seed}" for name in params.matrix.variants for seed in params.matrix.seeds
        ]
        judged = {cell: read_rows(verdicts / f"{cell}.jsonl", Verdict) for cell in cells}
        tables = verdict_tables(judged, evaluation)
    else:
        raise ParameterError(
            f"Expected a table among {choices(TABLES)}, got '{table}'. Correct matrix.tables."
        )

    from recap.data.expectations import validate  # takes seconds, so only once there are rows

    result = validate(table, tables, params.validation, docs)
    write_json(out, result)
    if not result.passed:
        failures = "\n  ".join(result.failures())
        raise ExpectationError(
            f"Expected a sound table '{table}', got violated expectations:\n  {failures}\n"
            f"All results: {out}; as pages: {docs / 'index.html'}. Fix the stage that makes these "
            "rows, or the bounds in params.yaml if they are wrong."
        )


if __name__ == "__main__":
    run_stage(main)
