"""``make bench``: where a run's time goes, and the sampler beside ``transformers.generate``.

Seconds of stages are those of the last real run (.recap/timings.json). Start-up is DVC's, of that
run, and the stage's own, measured here: a process that imports what the stage imports, and nothing
else. Rates are ratios in one run.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from recap.params import read_params
from recap.render import Renderer
from recap.rows import read_rows
from recap.sampling.torch_sampler import TorchSampler
from recap.types import Decoding, PromptRecord, RenderedPrompt
from recap.weights import load_model
from tests.contract.stage_deps import stage_modules

ROOT = Path(__file__).parents[2]
HEAVY = ("vllm_sampler",)
"""Modules that a default run never imports."""


def main() -> None:
    """Print both tables; the second needs the policy and the prompts of a run."""
    console = Console()
    console.print(stage_table())
    console.print(rollout_table())


def stage_table() -> Table:
    """Each stage's seconds of the last run, and the share of its imports in them."""
    timings = json.loads((ROOT / ".recap/timings.json").read_text(encoding="utf-8"))
    table = Table(title="stages of the last run", title_justify="left")
    for column in ("stage", "seconds", "DVC", "imports", "share"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    imports: dict[str, float] = {}
    total = started = 0.0
    for name, entry in timings.items():
        stage = name.split("@")[0]
        if stage not in imports:
            imports[stage] = import_seconds(stage)
        seconds = entry["seconds"]
        startup = entry["startup"] + imports[stage]
        total, started = total + seconds, started + startup
        table.add_row(
            name,
            f"{seconds:.1f}",
            f"{entry['startup']:.1f}",
            f"{imports[stage]:.1f}",
            f"{startup / seconds:.0%}",
        )
    table.add_row("all", f"{total:.1f}", "", f"{started:.1f}", f"{started / total:.0%}")
    return table


def import_seconds(stage: str) -> float:
    """Wall-clock seconds of a process that imports a stage's modules; the best of two."""
    modules = [m for m in stage_modules(stage) if not m.endswith(HEAVY)]
    command = [sys.executable, "-c", "import " + ", ".join(modules)]
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    taken = []
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return min(taken)


def rollout_table(prompts: int = 12, samples: int = 16, runs: int = 5) -> Table:
    """Tokens per second of our sampler and of ``generate`` on the same prompts, in turn."""
    torch.set_num_threads(1)
    policy = ROOT / "models/policy"
    model, renderer = load_model(policy), Renderer.from_dir(policy)
    records = read_rows(ROOT / "data/prompts/train.jsonl", PromptRecord)[:prompts]
    rendered = [renderer.prompt(record.prompt) for record in records]
    section = read_params(ROOT / "params.yaml").train.grpo
    decoding = Decoding(section.temperature, 1.0, section.max_completion_length)
    sampler = TorchSampler(model, renderer.eos_id, renderer.pad_id, prompts * samples)
    ours, theirs = [], []
    for seed in range(runs):
        ours.append(timed(lambda seed=seed: _ours(sampler, rendered, decoding, samples, seed)))
        theirs.append(timed(lambda: _generate(model, renderer, rendered, decoding, samples)))
    fast, slow = statistics.median(ours), statistics.median(theirs)
    table = Table(title=f"rollouts, {prompts} prompts x {samples}, one thread, median of {runs}",
                  title_justify="left")  # fmt: skip
    for column in ("sampler", "tokens/s", "ratio"):
        table.add_column(column, justify="left" if column == "sampler" else "right")
    table.add_row("transformers.generate", f"{slow:.0f}", "1.0")
    table.add_row("TorchSampler", f"{fast:.0f}", f"{fast / slow:.1f}")
    return table


def timed(generate: object) -> float:
    """Generated tokens per second of one call that returns their number."""
    assert callable(generate)
    start = time.perf_counter()
    tokens = generate()
    return float(tokens / (time.perf_counter() - start))


def _ours(
    sampler: TorchSampler,
    prompts: list[RenderedPrompt],
    decoding: Decoding,
    samples: int,
    seed: int,
) -> int:
    drawn = sampler.sample(prompts, decoding, num_samples=samples, seed=seed)
    return sum(len(sample.token_ids) for group in drawn for sample in group)


def _generate(
    model: torch.nn.Module,
    renderer: Renderer,
    prompts: list[RenderedPrompt],
    decoding: Decoding,
    samples: int,
) -> int:
    longest = max(len(prompt.token_ids) for prompt in prompts)
    ids = torch.full((len(prompts), longest), renderer.pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt.token_ids) :] = torch.tensor(prompt.token_ids)
        mask[row, longest - len(prompt.token_ids) :] = 1
    with torch.inference_mode():
        out = model.generate(  # type: ignore[operator]
            ids,
            attention_mask=mask,
            do_sample=True,
            temperature=decoding.temperature,
            top_p=1.0,
            top_k=0,
            max_new_tokens=decoding.max_tokens,
            num_return_sequences=samples,
            pad_token_id=renderer.pad_id,
            eos_token_id=renderer.eos_id,
        )
    new = out[:, longest:]
    ended = (new == renderer.eos_id).cumsum(1)
    return int(((ended == 0) | ((new == renderer.eos_id) & (ended == 1))).sum())


if __name__ == "__main__":
    main()
