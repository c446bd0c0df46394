"""Stage ``attack``: a trained policy under every benchmark -> completions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from recap.attacks.benchmarks import benchmarks, read_selections
from recap.attacks.rounds import run_attacks
from recap.params import read_params
from recap.render import Renderer
from recap.rows import write_rows
from recap.sampling.sampler import open_sampler
from recap.stages.process import run_stage


def main(
    policy: Annotated[Path, typer.Option(help="Directory of the trained policy.")],
    prompts: Annotated[Path, typer.Option(help="Prompt records of the eval split.")],
    prefills: Annotated[Path, typer.Option(help="Folder of the evaluation prefills.")],
    out: Annotated[Path, typer.Option(help="Completions, one a line.")],
) -> None:
    """Attack a policy with every benchmark of ``attack.benchmarks``."""
    params = read_params()
    selections = read_selections(benchmarks(params.attack), prompts, prefills)
    for each in selections:
        note = f", {each.n_without_prefill} left out" if each.n_without_prefill else ""
        print(f"{each.benchmark.name}: {len(each.cases)} prompts{note}", file=sys.stderr)
    completions = run_attacks(
        selections,
        Renderer.from_dir(policy),
        open_sampler(params.sampling, policy),
        params.attack,
        seed=params.seed,
    )
    write_rows(out, completions)


if __name__ == "__main__":
    run_stage(main)
