"""Tiny models and tables in the working directory, and the stage on them, for tests. Not a test."""

from __future__ import annotations

from pathlib import Path

import yaml

from recap.stages import train as stage
from tests.tiny import write_training_inputs

ROOT = Path(__file__).parents[2]


def make_stage_project(folder):
    """Tiny models and tables in a folder of their own, which is the working directory."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"] |= {"updates": 4, "prompts_per_update": 3, "save_updates": 2, "alpha": 0.5}
    params["train"]["snapshot_updates"] = 1
    params["train"] |= {"prefill_length": 2, "reward_epsilon": 1e-6, "tau": 2.0}
    params["train"]["grpo"] |= {"num_generations": 4, "max_completion_length": 16}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    write_training_inputs(Path())
    return folder


def run(variant, **changes):
    arguments = {
        "variant": variant,
        "seed": 0,
        "policy": Path("models/policy"),
        "guardian": Path("models/guardian"),
        "prompts": Path("data/prompts/train.jsonl"),
        "prefills": Path("data/prefills"),
        "out": Path(f"models/trained/{variant}-0"),
        "metrics": Path(f"results/train/{variant}-0.jsonl"),
        "snapshots": Path(f"models/snapshots/{variant}-0"),
        **changes,
    }
    stage.main(**arguments)


def contents(directory):
    files = (path for path in Path(directory).rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def change(section, **values):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params[section] |= values
    Path("params.yaml").write_text(yaml.safe_dump(params))
