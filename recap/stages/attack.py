"""Stage ``attack``: a trained policy under every benchmark -> completions.

After a kill, the finished blocks of conversations are in ``.recap/attack`` and are not sampled
again.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from recap.attacks.conversations import run_attacks
from recap.attacks.journal import journal_of
from recap.attacks.selection import Files, read_selections
from recap.attacks.selector import open_selector
from recap.attacks.table import attack_of
from recap.benchmarks.declared import benchmarks
from recap.params.whole import read_params
from recap.render import Renderer
from recap.rows import write_rows
from recap.runtime.scratch import code_hash, directory_hash, rows_hash
from recap.runtime.stage import run_stage
from recap.sampling.sampler import open_sampler
from recap.sampling.vllm_sampler import vllm_version

SCRATCH = Path(".recap/attack")


def main(
    policy: Annotated[Path, typer.Option(help="Directory of the trained policy.")],
    guardian: Annotated[Path, typer.Option(help="Directory of the guardian, the selector.")],
    prompts: Annotated[Path, typer.Option(help="Prompt records of the eval split.")],
    train: Annotated[Path, typer.Option(help="Prompts of the train split, for a check.")],
    prefills: Annotated[Path, typer.Option(help="Folder of the sources' prefills.")],
    pools: Annotated[Path, typer.Option(help="Folder of the sources' further thoughts.")],
    out: Annotated[Path, typer.Option(help="Completions, one a line.")],
    draws: Annotated[int | None, typer.Option(help="Seed of the draws. Default: `seed`.")] = None,
) -> None:
    """Attack a policy with every benchmark of ``attack.benchmarks``."""
    params = read_params()
    seed = params.seed if draws is None else draws
    chosen = benchmarks(params.attack)
    files = Files(prompts, train, prefills, pools)
    selections = read_selections(chosen, files, params.attack, params.seed)
    for each in selections:
        note = f", {each.n_without_prefill} left out" if each.n_without_prefill else ""
        print(f"{each.benchmark.name}: {len(each.cases)} prompts{note}", file=sys.stderr)
    selects = any(attack_of(each).selects for each in chosen)
    selector = open_selector(params.attack, guardian) if selects else None
    renderer = Renderer.from_dir(policy, params.models.reasoning)
    cases = [case for each in selections for case in each.cases]
    with open_sampler(params.sampling, policy) as sampler:  # loads the code that is hashed
        run = {
            "seed": str(seed),
            "sampling": params.sampling.model_dump_json(),
            "attack": params.attack.model_dump_json(),
            "reasoning": params.models.reasoning.model_dump_json(),
            "cases": rows_hash(row for case in cases for row in case.rows),
            "policy": directory_hash(policy),
            "guardian": directory_hash(guardian) if selector else "",
            "code": code_hash(),
            **{name: version(name) for name in ("torch", "transformers")},
            "vllm": vllm_version() if params.sampling.engine != "torch" else "",
        }
        with journal_of(SCRATCH, out.stem, run) as journal:
            completions = run_attacks(
                selections,
                renderer,
                sampler,
                params.attack,
                seed=seed,
                selector=selector,
                journal=journal,
            )
            if selector is not None and selector.unweighed:
                said = f"{selector.unweighed} responses got no score from the selector: ranked last"
                print(said, file=sys.stderr)
            write_rows(out, completions)


if __name__ == "__main__":
    run_stage(main)
