"""``make bench``: where a run's time goes, and what our loops gain, as ratios in one run.

Needs a finished ``make run``: the policy, the guardian, the prompts and the prefills are its own.
``--updates 10`` is a short version; ``--write`` puts the result into docs/performance.md.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from recap.errors import RecapError
from recap.params.seeds import derive_seed
from recap.params.whole import read_params
from recap.rl.cell import CellInputs
from recap.rl.prefill_source import training_prefills
from recap.rows import read_rows
from recap.types.prompts import PromptRecord
from tests.bench import machine
from tests.bench.page import replace_between_markers, summary
from tests.bench.resets import reset_table
from tests.bench.rollouts import rollout_table
from tests.bench.stages import stage_table, start_target
from tests.bench.training import training_tables

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/performance.md"
TIMINGS = ROOT / ".recap/timings.json"
VARIANT = "recap"


def main() -> None:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--updates", type=int, default=60, help="updates of the two loops")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        text = measure(options.updates)
    except RecapError as error:
        raise SystemExit(str(error)) from error
    print(text)
    if options.write:
        replace_between_markers(PAGE, text)


def measure(updates: int) -> str:
    """Everything that was measured, as markdown, the summary last."""
    described = machine.describe()
    cell = open_cell(ROOT)
    stages = "No stage table: no run was timed here. `make run` writes .recap/timings.json."
    if TIMINGS.exists():
        stages = str(stage_table(ROOT, TIMINGS))
    rollouts, faster = rollout_table(cell)
    with tempfile.TemporaryDirectory() as scratch:
        tables, targets = training_tables(cell, updates, Path(scratch))
    resets = reset_table(ROOT, read_params(ROOT / "params.yaml"))
    parts = [described, rollouts, *tables, resets, stages, f"At the end: {machine.load()}"]
    return "\n\n".join(map(str, [*parts, summary([faster, *targets, start_target(ROOT)])]))


def open_cell(root: Path) -> CellInputs:
    """The default policy, guardian, prompts, prefills and parameters of a finished run."""
    params = read_params(root / "params.yaml")
    train = params.for_variant(VARIANT)
    records = read_rows(root / "data/prompts/train.jsonl", PromptRecord)
    return CellInputs(
        name=f"{VARIANT}-bench",
        train=train,
        seed=derive_seed(params.seed, "train", 0),
        policy=root / "models/policy",
        guardian=root / "models/guardian",
        records=records,
        prefills=training_prefills(train.prefill_source, root / "data/prefills", records),
        prefilling=params.prefill,
    )


if __name__ == "__main__":
    main()
