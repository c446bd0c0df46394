"""Tokens per second of our sampler and of ``transformers.generate``: same prompts, in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from recap.models.weights import load_model
from recap.render import Renderer
from recap.rl.cell import CellInputs
from recap.sampling.torch_sampler import TorchSampler
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding
from tests.bench.page import Table, Target

WANTED = 3.0


def rollout_table(
    cell: CellInputs, prompts: int = 12, samples: int = 16, runs: int = 5
) -> tuple[Table, Target]:
    """Medians of ``runs`` runs of each; a token counts until its rollout's end."""
    model, renderer = load_model(cell.policy), Renderer.from_dir(cell.policy)
    rendered = [renderer.prompt(record.prompt) for record in cell.records[:prompts]]
    section = cell.train.grpo
    decoding = Decoding(section.temperature, 1.0, section.max_completion_length)
    sampler = TorchSampler(model, renderer.turn.stop_ids, renderer.pad_id, prompts * samples)

    def ours(seed: int) -> int:
        drawn = sampler.sample(rendered, decoding, num_samples=samples, seed=seed)
        return sum(len(sample.token_ids) for group in drawn for sample in group)

    def theirs() -> int:
        return generate(model, renderer, rendered, decoding, samples)

    fast, slow = [], []
    for seed in range(runs):
        fast.append(rate(partial(ours, seed)))
        slow.append(rate(theirs))
    best, stock = statistics.median(fast), statistics.median(slow)
    table = Table(
        f"Rollouts, {prompts} prompts x {samples}, median of {runs} runs in turn",
        ("sampler", "tokens/s", "ratio"),
        [
            ["transformers.generate", f"{stock:.0f}", "1.0"],
            ["TorchSampler", f"{best:.0f}", f"{best / stock:.1f}"],
        ],
    )
    return table, Target("rollouts against transformers.generate", best / stock, at_least=WANTED)


def rate(draw: Callable[[], int]) -> float:
    """Generated tokens per second of one call that returns their number."""
    start = time.perf_counter()
    tokens = draw()
    return tokens / (time.perf_counter() - start)


def generate(
    model: torch.nn.Module,
    renderer: Renderer,
    prompts: list[RenderedPrompt],
    decoding: Decoding,
    samples: int,
) -> int:
    """``transformers.generate`` on prompts padded to the left; how many tokens it drew."""
    longest = max(len(prompt.token_ids) for prompt in prompts)
    ids = torch.full((len(prompts), longest), renderer.pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt.token_ids) :] = torch.tensor(prompt.token_ids)
        mask[row, longest - len(prompt.token_ids) :] = 1
    with torch.inference_mode():
        # transformers types it as Tensor | Module: it comes from a mixin
        out = model.generate(  # type: ignore[operator]
            ids,
            attention_mask=mask,
            do_sample=True,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            top_k=0,
            max_new_tokens=decoding.max_tokens,
            num_return_sequences=samples,
            pad_token_id=renderer.pad_id,
            eos_token_id=list(renderer.turn.stop_ids),
        )
    new = out[:, longest:]
    stops = torch.isin(new, torch.tensor(renderer.turn.stop_ids))
    ended = stops.cumsum(1)
    return int(((ended == 0) | (stops & (ended == 1))).sum())
