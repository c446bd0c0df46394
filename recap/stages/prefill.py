"""Stage ``prefill``: whole thoughts of one source for its prompts, verified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recap.params import read_params
from recap.rows import read_rows, write_rows
from recap.stages.process import run_stage
from recap.types import PromptRecord


def main(
    source: str,
    model: Annotated[Path, typer.Option(help="Directory of the source model.")],
    guardian: Annotated[Path, typer.Option(help="Directory of the guardian, which verifies.")],
    train: Annotated[Path, typer.Option(help="Prompt records of the train split.")],
    eval_: Annotated[Path, typer.Option("--eval", help="Prompt records of the eval split.")],
    out: Annotated[Path, typer.Option(help="Row file of prefills.")],
) -> None:
    """Sample and verify the thoughts of SOURCE."""
    from recap.prefill.source import find_source, sample_prefills
    from recap.render import Renderer
    from recap.sampling.sampler import open_sampler
    from recap.scoring.guardian import load_guardian

    params = read_params()
    records = read_rows(train if find_source(source).split == "train" else eval_, PromptRecord)
    prefills = sample_prefills(
        source,
        records,
        open_sampler(params.sampling, model),
        Renderer.from_dir(model),
        load_guardian(guardian),
        params.prefill,
        params.seed,
    )
    write_rows(out, prefills)


if __name__ == "__main__":
    run_stage(main)
