"""The supervised update: mean next-token loss of the answers, AdamW, one batch at a time.

``recap.rl.training.run_updates`` drives this trainer, so a supervised run resumes, stops and logs
as RL does. Forward passes are RL's packed ones (``recap.rl.shared_prompt``): without padding, and
without loss on prompts. Leaves out several devices.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pad_sequence
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from recap.errors import TrainingError
from recap.models.adapter import trained_parameters
from recap.models.weights import save_model
from recap.params.values import Precision
from recap.rl.checkpoint import TrainingState
from recap.rl.metrics import Metrics, Speed
from recap.rl.sharding import load_optimizer
from recap.rl.shared_prompt import pack, shared_prompt_attention
from recap.rl.trainer import MAX_BROKEN_STEPS, MICRO_BATCH_TOKENS
from recap.sft.documents import Document, DocumentStream, split
from recap.types.row import Domain

WARM_UP = 0.05
"""Share of the updates in which the learning rate rises; then it falls to 0."""
MAX_GRAD_NORM = 1.0


class SftTrainer:
    """Trains ``policy`` in place on a stream of documents; drive it with ``update``."""

    def __init__(
        self,
        policy: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        stream: DocumentStream,
        *,
        updates: int,
        batch_tokens: int,
        learning_rate: float,
        precision: Precision = "float32",
    ) -> None:
        """``updates``: of the whole run, for the schedule. ``batch_tokens``: of one update."""
        self.policy, self._tokenizer, self._stream = policy, tokenizer, stream
        self._batch_tokens, self._precision = batch_tokens, precision
        trained = trained_parameters(policy).values()
        self._optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
        self._scheduler = LambdaLR(self._optimizer, _rate_share(updates))
        self._broken_in_a_row = 0

    def update(self, number: int) -> tuple[Metrics, Speed]:
        """Take one optimizer step in place; skip it if loss or gradient is not finite.

        Raises TrainingError after too many skipped steps in a row.
        """
        started = time.perf_counter()
        speed = Speed(gemm_peak=None)
        learning_rate = float(self._scheduler.get_last_lr()[0])
        batch = self._stream.take(self._batch_tokens)
        losses = self._backward(batch, speed)
        grad_norm = float(clip_grad_norm_(self.policy.parameters(), MAX_GRAD_NORM))
        loss = _mean(losses)
        applied = loss is not None and math.isfinite(loss) and math.isfinite(grad_norm)
        if applied:
            self._optimizer.step()
            self._scheduler.step()
            self._broken_in_a_row = 0
        else:
            self._broken_in_a_row += 1
        self._optimizer.zero_grad()
        if self._broken_in_a_row >= MAX_BROKEN_STEPS:
            raise TrainingError(
                f"Expected a finite loss and gradient, got {self._broken_in_a_row} steps in a row "
                f"without (update {number}). Lower train.sft.learning_rate."
            )
        metrics: Metrics = {
            "update": number,
            "epoch": self._stream.epoch,
            "learning_rate": learning_rate,
            "documents": len(batch),
            "tokens": sum(document.length for document in batch),
            "optimised_tokens": sum(len(document.answer_ids) for document in batch),
            "skipped_steps": int(not applied),
            "loss": loss if applied else None,
            "grad_norm": grad_norm if applied else None,
        }
        for domain in get_args(Domain):
            own = [row for row in losses if row[0] == domain]
            metrics[f"loss_{domain}"] = _mean(own) if applied else None
        speed.total = time.perf_counter() - started
        return metrics, speed

    def _backward(self, batch: Sequence[Document], speed: Speed) -> list[tuple[Domain, float, int]]:
        """Backward over the batch in micro-batches; domain, summed loss and tokens of each row."""
        self.policy.train()
        answer_tokens = sum(len(document.answer_ids) for document in batch)
        rows = []
        for part in split(batch, MICRO_BATCH_TOKENS):
            begin = time.perf_counter()
            with self._products():
                losses = answer_losses(self.policy, part)
            computed = time.perf_counter()
            (torch.cat(losses).sum() / answer_tokens).backward()
            speed.forward += computed - begin
            speed.backward += time.perf_counter() - computed
            rows += [
                (document.domain, float(own.detach().sum()), len(own))
                for document, own in zip(part, losses, strict=True)
            ]
        self.policy.eval()
        return rows

    def _products(self) -> torch.autocast:
        """Matrix products in 16 bits meanwhile, if that is the precision."""
        half = self._precision == "bfloat16"
        return torch.autocast(self.policy.device.type, torch.bfloat16, enabled=half)

    def snapshot(self, update: int, metrics: list[Metrics]) -> TrainingState:
        """The whole state on which the updates after ``update`` depend."""
        return TrainingState(
            update=update,
            model={n: p.detach().contiguous() for n, p in trained_parameters(self.policy).items()},
            optimizer=self._optimizer.state_dict(),
            scheduler=self._scheduler.state_dict(),
            progress={"cursor": self._stream.cursor, "broken": self._broken_in_a_row},
            metrics=metrics,
        )

    def restore(self, state: TrainingState) -> None:
        """Continue after ``state.update``, with the same results as an uninterrupted run."""
        with torch.no_grad():
            for name, parameter in trained_parameters(self.policy).items():
                parameter.copy_(state.model[name])
        load_optimizer(self._optimizer, state.optimizer)
        self._scheduler.load_state_dict(state.scheduler)
        self._stream.cursor = state.progress["cursor"]
        self._broken_in_a_row = state.progress["broken"]

    def save(self, directory: Path) -> None:
        """Write the policy's model directory, with the configuration of the loaded model."""
        save_model(self.policy, self._tokenizer, directory)


def answer_losses(policy: PreTrainedModel, documents: Sequence[Document]) -> list[Tensor]:
    """The loss of each answer token, [T] for each document; one packed forward pass for all."""
    device = policy.device
    prompts, prompt_mask = _padded([d.prompt_ids for d in documents], "left", device)
    answers, answer_mask = _padded([d.answer_ids for d in documents], "right", device)
    packing = pack(prompts, prompt_mask, answers, answer_mask)
    answered = (packing.labels[0] != -100).nonzero().squeeze(1)
    with shared_prompt_attention(policy):
        logits = policy(
            input_ids=packing.input_ids,
            position_ids=packing.position_ids,
            packing=packing,
            logits_to_keep=answered,
            use_cache=False,
        ).logits[0]
    losses = F.cross_entropy(logits.float(), packing.labels[0, answered], reduction="none")
    return list(losses.split([len(document.answer_ids) for document in documents]))


def _rate_share(updates: int) -> Callable[[int], float]:
    """The share of the learning rate at the update after ``done``: never 0, and 1 at its peak."""
    rising = math.ceil(WARM_UP * updates)

    def share(done: int) -> float:
        return min((done + 1) / rising, (updates - done) / (updates - rising + 1))

    return share


def _padded(
    rows: Sequence[tuple[int, ...]], side: str, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Token ids and their mask, [B, T]."""
    ids = [torch.tensor(row, device=device) for row in rows]
    ones = [torch.ones_like(row) for row in ids]
    return (
        pad_sequence(ids, batch_first=True, padding_side=side),
        pad_sequence(ones, batch_first=True, padding_side=side),
    )


def _mean(rows: Sequence[tuple[Domain, float, int]]) -> float | None:
    """Mean loss over the rows' answer tokens, ``None`` without a row."""
    tokens = sum(row[2] for row in rows)
    return sum(row[1] for row in rows) / tokens if tokens else None
