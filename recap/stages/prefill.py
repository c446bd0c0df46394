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
    from recap.microworld.families import with_families
    from recap.prefill.pools import pool_domains
    from recap.prefill.source import (
        check_verified,
        find_source,
        sample_pool,
        sample_prefills,
    )
    from recap.render import Renderer
    from recap.sampling.sampler import open_sampler
    from recap.scoring.guardian import load_guardian

    params = read_params()
    find_source(source)
    files = {"train": train, "eval": eval_}
    records = {split: read_rows(path, PromptRecord) for split, path in files.items()}
    asked = records[find_source(source).split]
    attacked_with = (*params.attack.benchmarks, *params.dynamics.benchmarks)
    with open_sampler(params.sampling, model) as sampler:
        with_it = (
            sampler,
            Renderer.from_dir(model, params.models.reasoning),
            load_guardian(guardian),
            params.prefill,
            params.seed,
        )
        prefills = with_families(sample_prefills(source, asked, *with_it), asked)
        write_rows(out, prefills)  # first, to be looked at
        check_verified(source, prefills, params.validation.min_verified_prefills)
        further = sample_pool(
            source,
            records["eval"],
            *with_it,
            domains=pool_domains(source, attacked_with, params.attack.transfer_sources),
            prompts=params.attack.search_prompts,
            thoughts=max(params.attack.search_budgets),
        )
    write_rows(pool, with_families(further, records["eval"]))


if __name__ == "__main__":
    run_stage(main)
