"""Stage ``prefill``: verified whole thoughts of one source, for its prompts and for its pool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recap.params.whole import read_params
from recap.rows import read_rows, write_rows
from recap.runtime.stage import run_stage
from recap.types.prompts import PromptRecord


def main(
    source: str,
    model: Annotated[Path, typer.Option(help="Directory of the source model.")],
    guardian: Annotated[Path, typer.Option(help="Directory of the guardian, which verifies.")],
    train: Annotated[Path, typer.Option(help="Prompt records of the train split.")],
    eval_: Annotated[Path, typer.Option("--eval", help="Prompt records of the eval split.")],
    out: Annotated[Path, typer.Option(help="Row file of prefills.")],
    pool: Annotated[Path, typer.Option(help="Row file of thoughts that only attacks read.")],
) -> None:
    """Sample and verify the thoughts of SOURCE."""
    from recap.prefill.source import find_source, sample_pool, sample_prefills
    from recap.render import Renderer
    from recap.sampling.sampler import open_sampler
    from recap.scoring.guardian import load_guardian

    params = read_params()
    find_source(source)
    files = {"train": train, "eval": eval_}
    records = {split: read_rows(path, PromptRecord) for split, path in files.items()}
    with_it = (
        open_sampler(params.sampling, model),
        Renderer.from_dir(model, params.models.reasoning),
        load_guardian(guardian),
        params.prefill,
        params.seed,
    )
    prefills = sample_prefills(source, records[find_source(source).split], *with_it)
    further = sample_pool(
        source,
        records["eval"],
        *with_it,
        prompts=params.attack.search_prompts,
        thoughts=max(params.attack.search_budgets),
    )
    write_rows(out, prefills)
    write_rows(pool, further)


if __name__ == "__main__":
    run_stage(main)
