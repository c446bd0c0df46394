"""Rollout groups -> the tensors of the loss -> mini-batches -> micro-batches.

The loss mask is decided here, once: what the policy generated is optimised, prompt and prefill are
not (t0 of the objective, since a prefill is part of the prompt's ids). The paper's per-group
normalisation (``group_tokens``) is decided here too, as a factor on the advantages: the surrogate
min(r A, clip(r) A) is linear in A for positive factors, so the loss needs no case for it.

A generation batch has one normaliser (``normaliser``), whichever rows a mini-batch or micro-batch
was dealt. Where a full batch's rows divide evenly by the optimizer steps, a step's loss is what
TRL's loss type of that name gives. A batch that refill left k of K groups short of full counts as
full all the same: the missing groups have no contrast, hence no advantage, and are taken to be as
long as those at hand. So k kept groups make k / K of a step's gradient, and one lucky group does
not move the policy as far as a whole batch.
Leaves out what rewards mean; suffixes: _R rows (groups x G), _P prompt and _C completion tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from recap.params.train import Aggregation, Optimizer
from recap.rl.dynamic_sampling import group_advantages
from recap.types.rollouts import RolloutGroup

Batch = dict[str, Tensor]
"""prompt_ids and prompt_mask (left-padded), completion_ids, completion_mask and sampling_logprobs
(right-padded), advantages, and two scalars: num_tokens and num_rows of a full generation batch."""


def to_batch(
    groups: Sequence[RolloutGroup],
    aggregation: Aggregation,
    pad_token_id: int,
    *,
    full: int,
    scaled: bool = True,
) -> Batch:
    """The generation batch of these groups, rows in the groups' order.

    ``full``: the groups of a full batch, of which these are all or some. ``scaled``: whether
    advantages are divided by their group's standard deviation.
    ``sampling_logprobs`` stand for the old policy's: the sampler ran its weights in its precision.
    """
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    lengths = [sum(len(r.sample.token_ids) for r in group.rollouts) for group in groups]
    total = sum(lengths)
    advantages: list[float] = []
    for group, length in zip(groups, lengths, strict=True):
        factor = 1.0
        if aggregation == "group_tokens":  # mean over groups of sum / own tokens
            factor = total / (len(groups) * max(length, 1))
        advantages += [factor * value for value in group_advantages(group.rewards, scaled=scaled)]
    prompts = [torch.tensor(r.rendered.token_ids, dtype=torch.long) for r in rollouts]
    completions = [torch.tensor(r.sample.token_ids, dtype=torch.long) for r in rollouts]
    logprobs = [torch.tensor(r.sample.sampling_logprobs) for r in rollouts]
    return {
        "prompt_ids": _pad(prompts, pad_token_id, "left"),
        "prompt_mask": _pad([torch.ones_like(ids) for ids in prompts], 0, "left"),
        "completion_ids": _pad(completions, pad_token_id, "right"),
        "completion_mask": _pad([torch.ones_like(ids) for ids in completions], 0, "right"),
        "sampling_logprobs": _pad(logprobs, 0.0, "right"),
        "advantages": torch.tensor(advantages),
        "num_tokens": torch.tensor(total * full / len(groups)),
        "num_rows": torch.tensor(len(rollouts) * full / len(groups)),
    }


def minibatches(batch: Batch, steps: int, generator: torch.Generator) -> list[Batch]:
    """Rows in random order (as TRL shuffles them), dealt to ``steps`` optimizer steps.

    No row is lost: with an uneven number the first steps take one more.
    """
    order_R = torch.randperm(len(batch["advantages"]), generator=generator)
    return [_rows(batch, part) for part in torch.tensor_split(order_R, steps) if len(part)]


def normaliser(part: Batch, optimizer: Optimizer, steps: int, count: int) -> float:
    """What divides the loss of one of ``steps`` optimizer steps in each of ``count`` processes.

    The step's share of a full batch's tokens (``dapo``) or rows. Gradients are averaged over the
    processes, so that each divides by its share alone.
    """
    if optimizer == "dapo":
        return float(part["num_tokens"].clamp(min=1.0) / count / steps)
    return float(part["num_rows"]) / (steps * count)


def microbatches(batch: Batch, max_tokens: int) -> Iterator[Batch]:
    """Rows with equal prompts side by side, cut into parts of at most ``max_tokens`` tokens.

    A prompt counts once in a part, as it is computed (``recap.rl.shared_prompt``); one row alone
    may exceed the bound. Each part is trimmed to its own longest prompt and completion. The loss is
    a sum over rows divided by a number of the whole batch, so the parts' losses and gradients add
    up exactly.
    """
    prompts = [tuple(row) for row in batch["prompt_ids"].tolist()]
    prompt_lengths = batch["prompt_mask"].sum(1).tolist()
    lengths = batch["completion_mask"].sum(1).tolist()
    order = sorted(range(len(prompts)), key=lambda r: (prompt_lengths[r], prompts[r], lengths[r]))
    part: list[int] = []
    tokens = 0
    for row in order:
        shared = bool(part) and prompts[row] == prompts[part[-1]]
        added = lengths[row] + (0 if shared else prompt_lengths[row])
        if part and tokens + added > max_tokens:
            yield _trim(_rows(batch, torch.tensor(part)))
            part, tokens = [], 0
            added = lengths[row] + prompt_lengths[row]
        part.append(row)
        tokens += added
    if part:
        yield _trim(_rows(batch, torch.tensor(part)))


def dealt(batch: Batch, max_tokens: int, index: int, count: int) -> list[tuple[Batch, int]]:
    """The micro-batches of process ``index`` of ``count``, each with the weight of its loss.

    The weight is 1, but 0 for a pass that only keeps step: all processes make equally many, since
    each pass gathers weights and averages gradients of all. It passes a row of the first part.
    """
    parts = list(microbatches(batch, max(max_tokens // count, 1)))
    mine = [(part, 1) for part in parts[index::count]]
    idle = (_trim(_rows(parts[0], torch.tensor([0]))), 0)
    return mine + [idle] * (math.ceil(len(parts) / count) - len(mine))


def _rows(batch: Batch, rows: Tensor) -> Batch:
    return {name: value[rows] if value.ndim else value for name, value in batch.items()}


def _trim(batch: Batch) -> Batch:
    prompt_P = int(batch["prompt_mask"].sum(1).max())
    completion_C = max(int(batch["completion_mask"].sum(1).max()), 1)
    width = batch["prompt_ids"].shape[1]
    trimmed = dict(batch)
    for name in ("prompt_ids", "prompt_mask"):
        trimmed[name] = batch[name][:, width - prompt_P :]
    for name in ("completion_ids", "completion_mask", "sampling_logprobs"):
        trimmed[name] = batch[name][:, :completion_C]
    return trimmed


def _pad(rows: Sequence[Tensor], value: float, side: Literal["left", "right"]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(
        list(rows), batch_first=True, padding_value=value, padding_side=side
    )
