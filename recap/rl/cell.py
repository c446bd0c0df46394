"""One cell of the matrix from its inputs to its outputs: loads, trains, writes.

What the result depends on is hashed into the name of the scratch folder (``identity``), so that
changed parameters or inputs start afresh beside the states of the old ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel

from recap.errors import ModelError
from recap.locks import exclusive
from recap.params import Prefilling, Train, derive_seed
from recap.prefill.inject import Injection
from recap.render import Renderer
from recap.rewards.router import Rewards
from recap.rl.checkpoint import CheckpointFolder
from recap.rl.collection import Collector
from recap.rl.metrics import Metrics
from recap.rl.prompt_stream import PromptStream
from recap.rl.self_prefill import SelfPrefills
from recap.rl.trainer import RecapTrainer
from recap.rl.training import check_space, run_updates
from recap.rows import atomic_path
from recap.sampling.torch_sampler import TorchSampler
from recap.scoring.guardian import load_guardian
from recap.types import Prefill, PromptRecord
from recap.weights import load_model


@dataclass(frozen=True, slots=True)
class Cell:
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


def train_cell(cell: Cell, *, out: Path, metrics: Path, scratch: Path) -> None:
    """Train, then put the policy's directory and its metrics in place.

    While it runs, ``scratch/<cell>.live.jsonl`` grows by a line for each update, with its speed.
    """
    busy = (
        f"Expected to be the only trainer of {cell.name}, but process {{pid}} is at it. "
        "Wait for it, or end it."
    )
    with exclusive(scratch / f"{cell.name}.lock", busy=busy):
        check_space(cell.policy, [scratch, out.parent])
        checkpoints = CheckpointFolder(scratch, cell.name, identity(cell))
        trainer = make_trainer(cell, checkpoints.path)
        lines = run_updates(
            trainer,
            checkpoints,
            scratch / f"{cell.name}.live.jsonl",
            updates=cell.train.updates,
            save_updates=cell.train.save_updates,
        )
        trainer.save(out)
        write_metrics(metrics, lines)
        checkpoints.remove()


def make_trainer(cell: Cell, output_dir: Path) -> RecapTrainer:
    """The trainer of a cell on its base policy, before the first update."""
    renderer = Renderer.from_dir(cell.policy)
    policy = load_model(cell.policy)
    train = cell.train
    rollouts = train.prompts_per_update * train.grpo.num_generations
    own = train.prefill_source == "self"
    stream = PromptStream(
        cell.records,
        None if own else cell.prefills,
        injection=Injection.of(train),
        renderer=renderer,
        seed=cell.seed,
    )
    sampler = TorchSampler(policy, renderer.eos_id, renderer.pad_id, batch_size=rollouts)
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
        policy, renderer.tokenizer, collector, train, output_dir=str(output_dir), seed=cell.seed
    )


def identity(cell: Cell) -> dict[str, str]:
    """Every parameter, input hash and library version that the result depends on, by name."""
    parameters = {
        f"train.{name}": value for name, value in cell.train.model_dump(mode="json").items()
    }
    if cell.train.prefill_source == "self":
        section = cell.prefilling.model_dump(mode="json")
        parameters |= {f"prefill.{name}": value for name, value in section.items()}
    prefills = [cell.prefills[name] for name in sorted(cell.prefills)]
    return {
        **{name: json.dumps(value) for name, value in parameters.items()},
        "seed": str(cell.seed),
        "policy": _directory_hash(cell.policy),
        "guardian": _directory_hash(cell.guardian),
        "prompts": _rows_hash(cell.records),
        "prefills": _rows_hash(prefills),
        **{name: version(name) for name in ("torch", "transformers", "trl")},
    }


def write_metrics(path: Path, lines: Sequence[Metrics]) -> None:
    """One JSON object for each update, atomically."""
    with atomic_path(path) as part, part.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in lines)


def _directory_hash(directory: Path) -> str:
    if not directory.is_dir():
        raise ModelError(
            f"Expected a model directory at {directory}, found none. "
            "Run the stage that makes it, or correct the path."
        )
    digest = hashlib.sha256()
    for path in sorted(p for p in directory.iterdir() if p.is_file()):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _rows_hash(rows: Iterable[BaseModel]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.model_dump_json().encode() + b"\n")
    return digest.hexdigest()
