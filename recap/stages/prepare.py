"""Stage ``prepare``: sources -> prompts of both splits, the quarantine list, counts by source."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from recap.data.load import check_quarantined, load_sources
from recap.data.mixture import choose_eval, choose_training
from recap.data.selection import select
from recap.params.whole import read_params
from recap.rows import write_rows
from recap.runtime.stage import run_stage


def main(
    train: Annotated[Path, typer.Option(help="Output file of the training prompts.")],
    evaluation: Annotated[Path, typer.Option("--eval", help="Output file of the eval prompts.")],
    quarantine: Annotated[Path, typer.Option(help="Output file of the quarantine list.")],
    counts: Annotated[Path, typer.Option(help="Output file of each source's rows by fate.")],
) -> None:
    """Make the training and evaluation prompts from the sources in params.yaml."""
    params = read_params()
    section = params.prepare
    reasoning = params.models.reasoning
    tags = (reasoning.open, reasoning.close)
    sources = load_sources(section, params.world, params.seed, tags)
    selection = select(sources)
    print(selection.summary(), file=sys.stderr)
    write_rows(quarantine, selection.set_aside)
    check_quarantined(sources, section.max_quarantined, quarantine)

    chosen = choose_training(selection.train, section.mixture, section.train_prompts, params.seed)
    if len(chosen) < section.train_prompts:
        print(
            f"training: {len(chosen)} of {section.train_prompts} prompts; the sources have no more "
            "in the mixture's proportions",
            file=sys.stderr,
        )
    kept = choose_eval(selection.eval, section.eval_prompts, params.seed)
    write_rows(counts, selection.counts)
    write_rows(train, chosen)  # both or neither: all checks are done
    write_rows(evaluation, kept)


if __name__ == "__main__":
    run_stage(main)
