"""Trains the microworld's models on packed documents: from scratch, or from the base policy.

Rows of ``ROW`` tokens hold whole documents. Attention and positions stop at document borders. Only
the model's own tokens carry loss, not the user's. The loss is plain next-token prediction, with
almost no padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from recap.microworld.muon import Muon
from recap.params.models import Models, Pretraining
from recap.runtime.progress import Progress


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of one document; the first ``num_prompt_tokens`` carry no loss."""

    token_ids: list[int]
    num_prompt_tokens: int


def make_model(section: Models, tokenizer: PreTrainedTokenizerBase, seed: int) -> LlamaForCausalLM:
    """A Llama with random weights, in fp32."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=section.hidden_size,
        intermediate_size=section.hidden_size * 5 // 2,
        num_hidden_layers=section.num_layers,
        num_attention_heads=section.num_heads,
        num_key_value_heads=section.num_heads,
        max_position_embeddings=section.context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=section.hidden_size**-0.5 / 2,
    )
    return LlamaForCausalLM(config)


def fit(model: LlamaForCausalLM, examples: Iterator[Example], section: Pretraining) -> float:
    """Train in place on an endless stream; returns the mean loss of the last tenth of it."""
    optimizers = make_optimizers(model, section)
    schedules = [LambdaLR(optimizer, _rate_share(section.updates)) for optimizer in optimizers]
    rows = max(1, section.batch_tokens // ROW)
    progress = Progress("update", section.updates)
    losses = []
    model.train()
    for update in range(1, section.updates + 1):
        loss = packed_loss(model, [pack(examples) for _ in range(rows)])
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        losses.append(float(loss.detach()))
        progress.step(update, f"loss {losses[-1]:.3f}")
    model.eval()
    tail = losses[-max(1, section.updates // 10) :]
    return sum(tail) / len(tail)


def make_optimizers(model: LlamaForCausalLM, section: Pretraining) -> list[Optimizer]:
    """Muon for the layers' matrices, AdamW for embeddings and norms (docs/LOG.md: why)."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    inside = {id(parameter) for parameter in matrices}
    others = [p for p in model.parameters() if id(p) not in inside]
    return [
        Muon(matrices, lr=section.muon_learning_rate),
        torch.optim.AdamW(others, lr=section.learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _rate_share(updates: int) -> Callable[[int], float]:
    """Linear warm-up over the first 5 %, then constant, then linear decay over the last 60 %."""

    def share(done: int) -> float:
        warm = (done + 1) / (0.05 * updates)
        decay = (updates - done) / (0.6 * updates)
        return min(1.0, warm, decay)

    return share


ROW = 256
"""Tokens of one packed row: long enough to waste little, short enough for cheap attention."""


def pack(examples: Iterator[Example]) -> list[Example]:
    """Documents of together at most ``ROW`` tokens; drops the first document that does not fit."""
    row, used = [], 0
    for example in examples:
        if used + len(example.token_ids) > ROW:
            break
        row.append(example)
        used += len(example.token_ids)
    return row


def packed_loss(model: LlamaForCausalLM, rows: list[list[Example]]) -> torch.Tensor:
    """Mean next-token loss over all answer tokens of the packed rows."""
    ids = torch.zeros(len(rows), ROW, dtype=torch.long)
    positions = torch.zeros(len(rows), ROW, dtype=torch.long)
    document = torch.full((len(rows), ROW), -1)
    targets = torch.full((len(rows), ROW), -100)
    for index, row in enumerate(rows):
        start = 0
        for number, example in enumerate(row):
            length = len(example.token_ids)
            span = torch.tensor(example.token_ids)
            ids[index, start : start + length] = span
            positions[index, start : start + length] = torch.arange(length)
            document[index, start : start + length] = number
            first = start + example.num_prompt_tokens - 1
            targets[index, first : start + length - 1] = span[example.num_prompt_tokens :]
            start += length
    same = document[:, :, None] == document[:, None, :]
    causal = torch.ones(ROW, ROW, dtype=torch.bool).tril()
    mask = (same & causal)[:, None]
    hidden = model.model(ids, attention_mask=mask, position_ids=positions).last_hidden_state
    wanted = targets != -100
    return functional.cross_entropy(model.lm_head(hidden[wanted]), targets[wanted])
