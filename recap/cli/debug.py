"""``python -m recap.cli.debug``: what ``recap run --profile debug`` starts.

A small world is made, one batch of it trained on again and again, and the first update traced. All
of it lies in ``.recap/debug``; the clone's models, data, lock and registry are neither read nor
written. Leaves out DVC, attacks and everything after training.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from recap.params.document import read_document
from recap.params.seeds import derive_seed
from recap.params.train import overlay
from recap.params.whole import Params, read_params
from recap.rows import atomic_path, read_rows
from recap.runtime.locks import STATE, exclusive
from recap.runtime.stage import PARAMS, run_stage
from recap.types.prompts import PromptRecord

FOLDER = STATE / "debug"
PROFILE = Path("infra/profiles/debug.yaml")
TRACE = Path("trace.json")
TRAIN, EVAL = Path("data/train.jsonl"), Path("data/eval.jsonl")
PREFILLS = Path("data/prefills")


def debug_values(root: Path) -> dict[str, Any]:
    """The clone's parameters with the profile laid over them; nothing is taken from elsewhere."""
    values = overlay(read_document(root / PARAMS), read_document(root / PROFILE))
    for section in ("models", "sources"):
        values[section] = {**values[section], "origins": {}}
    values["prepare"] = {**values["prepare"], "sources": {"microworld": None}}
    return values


def main() -> None:
    """Make the small world, overfit one batch, and say where the trace is."""
    values, folder = debug_values(Path()), FOLDER.resolve()
    busy = "Expected no other debug run in this clone, but process {pid} is at it. Wait for it."
    with exclusive(folder.with_suffix(".lock"), busy=busy):
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        with atomic_path(PARAMS) as part:
            part.write_text(json.dumps(values, indent=1), encoding="utf-8")  # YAML as well
        params = read_params()
        make_world()
        losses = train(params)
    print("loss of one batch, step by step:", *(f"{loss:.3f}" for loss in losses))
    print(f"trace of the first update: {FOLDER / TRACE} (chrome://tracing, ui.perfetto.dev)")


def make_world() -> None:
    """The models, prompts and thoughts that training needs, by their own stages."""
    from recap.stages import models, prefill, prepare, sources

    policy, guardian = Path("models/policy"), Path("models/guardian")
    models.main("policy", policy)
    models.main("guardian", guardian)
    prepare.main(TRAIN, EVAL, Path("data/quarantine.jsonl"), Path("data/sources.jsonl"))
    sources.main("harmful", policy, Path("models/harmful"))
    sources.main("refusing", policy, Path("models/refusing"))
    for name in ("harmful", "refusing"):
        thoughts = PREFILLS / f"{name}.jsonl"
        own = Path("models") / name
        prefill.main(name, own, guardian, TRAIN, EVAL, thoughts, Path(f"data/pools/{name}.jsonl"))


def train(params: Params) -> list[float]:
    """The losses of one batch."""
    from recap.rl.cell import CellInputs, make_trainer
    from recap.rl.overfit import overfit
    from recap.rl.prefill_source import training_prefills

    records, seed = read_rows(TRAIN, PromptRecord), derive_seed(params.seed, "train", 0)
    cell = CellInputs(
        name="debug",
        train=params.train,
        seed=seed,
        policy=Path("models/policy"),
        guardian=Path("models/guardian"),
        records=records,
        prefills=training_prefills("counter", PREFILLS, records),
        prefilling=params.prefill,
    )
    return overfit(make_trainer(cell), seed, TRACE)


if __name__ == "__main__":
    run_stage(main)
