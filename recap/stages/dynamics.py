"""Stage ``dynamics``: a cell's policy at update 0, at each snapshot and at the end -> rates.

Uses the decoding of ``attack`` and the judge of ``judge``, on a part of the evaluation prompts.
Prompts and random numbers are the same for all updates and variants.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from recap.attacks.conversations import run_attacks
from recap.attacks.selection import Files, draw, read_selections
from recap.attacks.selector import open_selector
from recap.attacks.table import attack_of
from recap.benchmarks.declared import benchmarks
from recap.evaluation.metrics import cell_result, outcomes
from recap.evaluation.unscored import refuse_unscored
from recap.judges.registry import open_judge
from recap.models.weights import snapshots
from recap.params.whole import read_params
from recap.render import Renderer
from recap.rows import count_lines, write_json
from recap.runtime.stage import run_stage
from recap.sampling.sampler import open_sampler
from recap.types.results import DynamicsResult, SnapshotResult


def main(
    variant: Annotated[str, typer.Option(help="The cell's variant.")],
    seed: Annotated[int, typer.Option(help="The cell's replicate seed.")],
    base: Annotated[Path, typer.Option(help="Directory of the policy before update 1.")],
    kept: Annotated[Path, typer.Option("--snapshots", help="Folder of the cell's snapshots.")],
    policy: Annotated[Path, typer.Option(help="Directory of the trained policy.")],
    metrics: Annotated[Path, typer.Option(help="Training metrics, a line for each update.")],
    prompts: Annotated[Path, typer.Option(help="Prompt records of the eval split.")],
    train: Annotated[Path, typer.Option(help="Prompts of the train split, for a check.")],
    prefills: Annotated[Path, typer.Option(help="Folder of the sources' prefills.")],
    pools: Annotated[Path, typer.Option(help="Folder of the sources' further thoughts.")],
    guardian: Annotated[Path, typer.Option(help="Directory of the guardian: selector, or judge.")],
    out: Annotated[Path, typer.Option(help="Rates by update, one JSON document.")],
) -> None:
    """Measure a cell at every update with a saved policy."""
    params = read_params()
    chosen = benchmarks(params.dynamics)
    files = Files(prompts, train, prefills, pools)
    selections = [
        draw(selection, params.dynamics.prompts, params.seed)
        for selection in read_selections(chosen, files, params.attack, params.seed)
    ]
    selects = any(attack_of(each).selects for each in chosen)
    selector = open_selector(params.attack, guardian) if selects else None
    judge = open_judge(
        params.judge.judge,
        world=params.world,
        seed=params.seed,
        guardian=guardian,
        settings=params.judge,
    )
    # if a run ended early, its last update is not `train.updates`
    policies = {0: base, **snapshots(kept), count_lines(metrics): policy}
    found = []
    for update, directory in policies.items():
        print(f"update {update}: {directory}", file=sys.stderr)
        with open_sampler(params.sampling, directory) as sampler:
            completions = run_attacks(
                selections,
                Renderer.from_dir(directory, params.models.reasoning),
                sampler,
                params.attack,
                seed=params.seed,
                selector=selector,
            )
        verdicts = judge.judge(completions)
        refuse_unscored(completions, verdicts, params.evaluate)
        cell = cell_result(
            completions,
            outcomes(completions, verdicts),
            variant=variant,
            replicate=seed,
            settings=params.evaluate,
            seed=params.seed,
        )
        found.append(SnapshotResult(update=update, results=cell.results))
    judge.account(f"{out.stem}.dynamics")
    write_json(out, DynamicsResult(variant=variant, seed=seed, snapshots=found))


if __name__ == "__main__":
    run_stage(main)
