"""Tiny models and tables in the working directory, and the stage on them, for tests. Not a test."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml
from rl_cases import TOKENIZER, tiny_policy

from recap.rows import write_rows
from recap.stages import train as stage
from recap.types.prompts import Prefill, PromptRecord

ROOT = Path(__file__).parents[2]
PROMPTS = {"harmful": "how do i", "benign": "what is", "math": "what is 7 plus 5 ?"}


def records():
    return [
        PromptRecord(
            id=f"{domain}-{n}",
            domain=domain,
            prompt=prompt,
            target="12" if domain == "math" else None,
            source="microworld",
            split="train",
        )
        for domain, prompt in PROMPTS.items()
        for n in range(3)
    ]


def prefills(source):
    return [
        Prefill(
            prompt_id=record.id,
            text="i should",
            intent=source,
            source_model=source,
            num_words=2,
            num_tokens=2,
            response="no",
            rejected=None,
        )
        for record in records()
    ]


def make_stage_project(folder):
    """Tiny models and tables in a folder of their own, which is the working directory."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"] |= {"updates": 4, "prompts_per_update": 3, "save_updates": 2, "alpha": 0.5}
    params["train"]["snapshot_updates"] = 1
    params["train"] |= {"prefill_length": 2, "reward_epsilon": 1e-6, "tau": 2.0}
    params["train"]["grpo"] |= {"num_generations": 4, "max_completion_length": 16}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    for name, seed in (("policy", 0), ("guardian", 1)):
        model = tiny_policy(seed)
        with torch.no_grad():  # a random policy that ends its thoughts and answers now and then
            for token in ("</think>", "<eos>"):
                model.lm_head.weight[TOKENIZER.convert_tokens_to_ids(token)] *= 3
        model.save_pretrained(f"models/{name}")
        TOKENIZER.save_pretrained(f"models/{name}")
    write_rows(Path("data/prompts/train.jsonl"), records())
    for source in ("harmful", "refusing", "aligned"):
        write_rows(Path(f"data/prefills/{source}.jsonl"), prefills(source))
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
