"""One cell of the matrix from its inputs to its outputs: loads, trains, writes.

What the result depends on is hashed into the name of the scratch folder (``identity``), so that
changed parameters or inputs start afresh beside the states of the old ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from recap import processes
from recap.models.weights import copy_snapshots, device, load_model
from recap.params.models import THINK, Reasoning
from recap.params.prefill import Prefilling
from recap.params.seeds import derive_seed
from recap.params.train import Train
from recap.prefill.inject import Injection
from recap.render import Renderer
from recap.rewards.router import Rewards
from recap.rl.checkpoint import CheckpointFolder
from recap.rl.collection import Collector
from recap.rl.metrics import Metrics
from recap.rl.prompt_stream import PromptStream
from recap.rl.self_prefill import SelfPrefills
from recap.rl.space import check_space
from recap.rl.trainer import RecapTrainer
from recap.rl.training import Trainer, run_updates
from recap.rows import atomic_path
from recap.runtime.locks import exclusive
from recap.runtime.scratch import code_hash, directory_hash, rows_hash
from recap.sampling.policy_sampler import GPU_MEMORY_SHARE, PolicySampler
from recap.sampling.sampler import Sampler
from recap.sampling.server_sampler import ServerSampler
from recap.sampling.torch_sampler import TorchSampler
from recap.sampling.vllm_sampler import VllmSampler, vllm_version
from recap.scoring.guardian import load_guardian
from recap.types.prompts import Prefill, PromptRecord


@dataclass(frozen=True, slots=True)
class CellInputs:
    """Everything that the weights of one trained policy are a function of."""

    name: str
    train: Train
    seed: int
    policy: Path
    guardian: Path
    records: Sequence[PromptRecord]
    prefills: Mapping[str, Prefill]
    prefilling: Prefilling
    """How the policy's own thoughts are sampled, where these are the prefills."""
    reasoning: Reasoning = THINK
    """The tags of the policy's thoughts."""


def train_cell(
    cell: CellInputs,
    *,
    out: Path,
    metrics: Path,
    snapshots: Path,
    scratch: Path,
    trainer_of: Callable[[CellInputs], Trainer],
) -> None:
    """Train, then put the policy's directory, its metrics and its snapshots in place.

    ``trainer_of`` makes the trainer on the base policy: ``make_trainer``, or supervised training's.
    Called by each process of a launch; the main one alone writes. While it runs,
    ``scratch/<cell>.live.jsonl`` grows by a line for each update, with its speed.
    """
    busy = (
        f"Expected to be the only trainer of {cell.name}, but process {{pid}} is at it. "
        "Wait for it, or end it."
    )
    with processes.joined(cell.train.processes), ExitStack() as held:
        if processes.is_main():
            held.enter_context(exclusive(scratch / f"{cell.name}.lock", busy=busy))
        _train(cell, trainer_of, out, metrics, snapshots, scratch)


def _train(
    cell: CellInputs,
    trainer_of: Callable[[CellInputs], Trainer],
    out: Path,
    metrics: Path,
    snapshots: Path,
    scratch: Path,
) -> None:
    """The run itself; its trainer is gone before the processes part.

    (One that outlives its process group ends it with Python's lock held, and gloo may wait for it.)
    """
    check_space(cell.policy, cell.train, [scratch, out.parent])
    checkpoints = CheckpointFolder(scratch, cell.name, identity(cell))
    trainer = trainer_of(cell)
    lines = run_updates(
        trainer,
        checkpoints,
        scratch / f"{cell.name}.live.jsonl",
        updates=cell.train.updates,
        save_updates=cell.train.save_updates,
        snapshot_updates=cell.train.snapshot_updates,
    )
    trainer.save(out)
    if processes.is_main():
        copy_snapshots(checkpoints.snapshots, snapshots)
        write_metrics(metrics, lines)
        checkpoints.remove()


def make_trainer(cell: CellInputs) -> RecapTrainer:
    """The trainer of a cell on its base policy, before the first update."""
    renderer = Renderer.from_dir(cell.policy, cell.reasoning)
    train = cell.train
    policy = load_model(cell.policy, train.stored_precision)
    own = train.prefill_source == "self"
    stream = PromptStream(
        cell.records,
        None if own else cell.prefills,
        injection=Injection.of(train),
        renderer=renderer,
        seed=cell.seed,
    )
    sampled, rollout_copy = policy, None
    if train.launch.shard != "none":
        rollout_copy = load_model(cell.policy, train.precision).requires_grad_(False).to(device())
        sampled = rollout_copy
    sampler: Sampler
    if train.engine == "vllm":
        engine = VllmSampler(cell.policy, gpu_memory_share=GPU_MEMORY_SHARE)
        sampler = PolicySampler(policy, engine, train.precision)
    elif train.engine == "server":
        servers = ServerSampler(cell.policy, train.servers, first_device=train.processes)
        sampler = PolicySampler(sampled, servers, train.precision)
    else:
        rollouts = train.prompts_per_update * train.grpo.num_generations
        sampler = TorchSampler(
            sampled, renderer.turn.stop_ids, renderer.pad_id, batch_size=rollouts
        )
    guardian = load_guardian(cell.guardian)
    collector = Collector(
        stream,
        sampler,
        Rewards.of(train, guardian),
        renderer,
        train,
        derive_seed(cell.seed, "collector"),
        SelfPrefills(stream, sampler, renderer, guardian, train, cell.prefilling, cell.seed)
        if own
        else None,
    )
    return RecapTrainer(
        policy, renderer.tokenizer, collector, train, seed=cell.seed, rollout_copy=rollout_copy
    )


def identity(cell: CellInputs) -> dict[str, str]:
    """Every parameter, input, program and library that the result depends on, by name."""
    section = cell.train.model_dump(mode="json")
    # A state is whole: any number of processes goes on from it, with any number of servers.
    del section["launch"], section["servers"]
    parameters = {f"train.{name}": value for name, value in section.items()}
    if cell.train.prefill_source == "self":
        thoughts = cell.prefilling.model_dump(mode="json")
        parameters |= {f"prefill.{name}": value for name, value in thoughts.items()}
    prefills = [cell.prefills[name] for name in sorted(cell.prefills)]
    return {
        **{name: json.dumps(value) for name, value in parameters.items()},
        "reasoning": cell.reasoning.model_dump_json(),
        "seed": str(cell.seed),
        "policy": directory_hash(cell.policy),
        "guardian": directory_hash(cell.guardian),
        "prompts": rows_hash(cell.records),
        "prefills": rows_hash(prefills),
        "code": code_hash(),
        **{name: version(name) for name in ("torch", "transformers", "trl")},
        **({"peft": version("peft")} if cell.train.adapter else {}),
        **({"vllm": vllm_version()} if cell.train.engine != "torch" else {}),
    }


def write_metrics(path: Path, lines: Sequence[Metrics]) -> None:
    """One JSON object for each update, atomically."""
    with atomic_path(path) as part, part.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in lines)
