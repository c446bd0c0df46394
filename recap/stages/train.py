"""Stage ``train``: one cell (variant and replicate) -> trained policy, metrics, snapshots.

Trains by RL or, with ``method: sft``, on verified traces. The base policy is the variant of zero
updates: the same files, without metrics and snapshots. With ``train.launch.processes`` above 1 the
stage starts itself that many times, unless a launcher has done so. After a kill, training continues
from the state in ``.recap/train``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recap.params.seeds import derive_seed
from recap.params.whole import read_params
from recap.rl.prefill_source import check_coverage, training_prefills, training_records
from recap.rows import read_rows
from recap.runtime.stage import run_stage
from recap.types.prompts import PromptRecord

SCRATCH = Path(".recap/train")


def main(
    variant: Annotated[str, typer.Option(help="A name under `variants` in params.yaml.")],
    seed: Annotated[int, typer.Option(help="Training replicate of one world.")],
    policy: Annotated[Path, typer.Option(help="Directory of the base policy.")],
    guardian: Annotated[Path, typer.Option(help="Directory of the guardian.")],
    prompts: Annotated[Path, typer.Option(help="Prompt records of the train split.")],
    prefills: Annotated[Path, typer.Option(help="Folder of the sources' prefills.")],
    out: Annotated[Path, typer.Option(help="Directory of the trained policy.")],
    metrics: Annotated[Path, typer.Option(help="One JSON line for each update.")],
    snapshots: Annotated[Path, typer.Option(help="Folder of the policy every n updates.")],
) -> None:
    """Train one cell of the matrix."""
    params = read_params()
    train = params.for_variant(variant)
    name = f"{variant}-{seed}"
    if train.updates == 0:
        from recap.rl.untrained import copy_policy

        copy_policy(policy, out, metrics, snapshots)
        return
    if train.processes > 1:
        from recap.processes import is_launched, refuse_leftovers

        refuse_leftovers()
        if not is_launched():
            # Only here: a state knows the modules that its processes had loaded, one or several.
            from recap.rl.launch import run_ranks

            run_ranks(train.launch, name, SCRATCH)
            return
    records = training_records(train.subset, read_rows(prompts, PromptRecord))
    supervised = train.method == "sft"
    source = "aligned" if supervised else train.prefill_source
    given = training_prefills(source, prefills, records)
    if not supervised and source in ("counter", "aligned"):
        needing = [record for record in records if train.alphas.get(record.domain)]
        check_coverage(needing, given, train.max_missing_prefills)

    from recap.rl.cell import CellInputs, make_trainer, train_cell
    from recap.sft.cell import make_sft_trainer

    cell = CellInputs(
        name=name,
        train=train,
        # Without the variant's name: DAPO and RECAP get the same prompts in the same order.
        seed=derive_seed(params.seed, "train", seed),
        policy=policy,
        guardian=guardian,
        records=records,
        prefills=given,
        prefilling=params.prefill,
        reasoning=params.models.reasoning,
    )
    train_cell(
        cell,
        out=out,
        metrics=metrics,
        snapshots=snapshots,
        scratch=SCRATCH,
        trainer_of=make_sft_trainer if supervised else make_trainer,
    )


if __name__ == "__main__":
    run_stage(main)
