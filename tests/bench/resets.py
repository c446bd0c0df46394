"""What k rounds of iterative prefill reset cost: reading on, against reading every context anew.

Processor seconds of the sampler and positions that go through the model (padding included), on the
finished run's candidate, its evaluation prompts and prefills.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recap.attacks.conversations import run_attacks
from recap.attacks.selection import Files, read_selections
from recap.benchmarks.declared import BENCHMARKS
from recap.params.whole import Params
from recap.render import Renderer
from recap.sampling.llama_decoder import LlamaDecoder
from recap.sampling.torch_sampler import TorchSampler, load_torch_sampler
from tests.bench.page import Table


class Forgetful:
    """A sampler whose conversations remember nothing."""

    def __init__(self, sampler: TorchSampler) -> None:
        self._sampler = sampler

    def conversation(self) -> TorchSampler:
        return self._sampler


@contextmanager
def counted() -> Iterator[list[int]]:
    """Positions that pass one layer, meanwhile."""
    project, total = LlamaDecoder._project, [0]

    # Types are left to the method it stands for, and mypy lets no method be replaced.
    def counting(self, layer, hidden, turns):  # type: ignore[no-untyped-def]
        total[0] += len(hidden) * (layer is self._weights.layers[0])
        return project(self, layer, hidden, turns)

    LlamaDecoder._project = counting  # type: ignore[method-assign]
    try:
        yield total
    finally:
        LlamaDecoder._project = project  # type: ignore[method-assign]


def reset_table(root: Path, params: Params) -> Table:
    """The costs of 1 and of ``attack.ipr_rounds`` rounds, both ways."""
    policy = root / f"models/trained/{params.gate.candidate}-{params.gate.seed}"
    prompts, data = root / "data/prompts", root / "data"
    files = Files(
        prompts / "eval.jsonl", prompts / "train.jsonl", data / "prefills", data / "pools"
    )
    selections = read_selections([BENCHMARKS["ipr"]], files, params.attack, params.seed)
    renderer = Renderer.from_dir(policy)
    sampler = load_torch_sampler(policy, params.sampling.batch_size)
    rows = []
    for rounds in (1, params.attack.ipr_rounds):
        settings = params.attack.model_copy(update={"ipr_rounds": rounds})
        for name, way in (("read anew", Forgetful(sampler)), ("read on", sampler)):
            with counted() as positions:
                start = time.process_time()
                run_attacks(selections, renderer, way, settings, seed=params.seed)
                seconds = time.process_time() - start
            rows.append([f"{rounds}", name, f"{positions[0]}", f"{seconds:.1f}"])
    return Table(
        f"Iterative prefill reset, {len(selections[0].cases)} prompts",
        ("rounds", "contexts", "positions", "CPU seconds"),
        rows,
    )
