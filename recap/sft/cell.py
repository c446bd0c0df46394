"""A supervised cell: collects its traces and creates its trainer on the base policy."""

from __future__ import annotations

import sys
from collections import Counter

from recap.models.adapter import add_adapter, checkpoint_activations
from recap.models.weights import device, load_model
from recap.params.seeds import derive_seed
from recap.render import Renderer
from recap.rl.cell import CellInputs
from recap.sampling.torch_sampler import TorchSampler
from recap.sft.documents import DocumentStream, render
from recap.sft.traces import check_domains, own_solutions, safety_traces
from recap.sft.trainer import SftTrainer
from recap.types.rollouts import Decoding


def make_sft_trainer(cell: CellInputs) -> SftTrainer:
    """The trainer of a supervised cell, before the first update.

    Samples the base policy's solutions here, again after each resume; the same call gives the same
    solutions.
    """
    renderer = Renderer.from_dir(cell.policy, cell.reasoning)
    train, grpo = cell.train, cell.train.grpo
    policy = load_model(cell.policy, train.stored_precision).to(device())
    rollouts = train.prompts_per_update * grpo.num_generations
    traces = safety_traces(cell.records, cell.prefills, train.sft.traces) + own_solutions(
        cell.records,
        TorchSampler(policy, renderer.turn.stop_ids, renderer.pad_id, batch_size=rollouts),
        renderer,
        Decoding(grpo.temperature, 1.0, grpo.max_completion_length),
        train.sft.attempts,
        derive_seed(cell.seed, "sft"),
    )
    check_domains(cell.records, traces)
    documents = render(traces, renderer, policy.config.max_position_embeddings)
    counts = Counter(document.domain for document in documents)
    shown = ", ".join(f"{count} {domain}" for domain, count in sorted(counts.items()))
    print(f"training on {shown} traces", file=sys.stderr)
    if train.adapter:
        add_adapter(policy, train.adapter, derive_seed(cell.seed, "adapter"))
    if train.checkpointing:
        checkpoint_activations(policy)
    return SftTrainer(
        policy,
        renderer.tokenizer,
        DocumentStream(documents, derive_seed(cell.seed, "sft")),
        updates=train.updates,
        batch_tokens=train.sft.batch_tokens,
        learning_rate=train.sft.learning_rate,
        precision=train.precision,
    )
