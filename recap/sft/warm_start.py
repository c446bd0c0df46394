"""Teaches a model to think before it answers: supervised training before everything else.

An instruct model becomes the small reasoning model that RECAP trains, and that model becomes the
prefill sources (paper: pi_refuse is fine-tuned on STAR-1's safety subset). The loss is the mean
next-token loss over thought, closing tag, response and end of turn. Leaves out adapters, and going
on after a kill: a warm start of minutes begins anew.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from recap.data.sources import benign
from recap.data.sources.rawrow import RowFault
from recap.data.sources.readers import read_table
from recap.errors import DataError, TrainingError
from recap.params.models import Fitting, WarmStart
from recap.params.seeds import derive_seed
from recap.render import Renderer
from recap.runtime.progress import Progress
from recap.sampling.torch_sampler import TorchSampler
from recap.sft.given import given_traces
from recap.sft.own import own_traces
from recap.types.sources import EVAL_SOURCES, Source
from recap.types.traces import TraceRow, TraceSet

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SENTENCE = re.compile(r"\S.*?[.!?](?=\s|$)", re.DOTALL)
BATCH = 64
"""Sequences side by side where the model speaks for itself."""
WARM_UP = 0.1
"""Share of the updates in which the learning rate rises; then it falls to 0."""
MAX_GRAD_NORM = 1.0
Pair = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids of a prompt up to its open thought, and of the target."""


def trace_pool(
    section: WarmStart, model: PreTrainedModel, renderer: Renderer, seed: int
) -> list[TraceRow]:
    """All traces that the section asks for, set by set; ``model`` speaks the own ones.

    STAR-1's questions for ``own_harmful`` are none of those whose traces are taken. Raises
    DataError when a set has too few.
    """
    sampler = TorchSampler(model, renderer.turn.stop_ids, renderer.pad_id, BATCH)
    star1 = _shuffled(given_traces(section.data["star1"], "star1"), seed) if section.stars else []
    given = star1[: section.traces.get("star1", 0)]
    pool: list[TraceRow] = []
    for name in get_args(TraceSet):
        wanted = section.traces.get(name, 0)
        if not wanted:
            continue
        if name == "star1":
            found = given
        elif name == "gsm8k":
            found = _shuffled(given_traces(section.data[name], name), seed)[:wanted]
        else:
            questions = [(row.id, row.prompt) for row in star1[len(given) :]]
            asked = questions if name == "own_harmful" else _benign(section, seed)
            found = own_traces(asked, name, wanted, sampler, renderer, seed)
        if len(found) < wanted:
            raise DataError(
                f"Expected {wanted} traces of the set {name}, got {len(found)}. Lower "
                f"models.warm_start.traces.{name}, or give it more data."
            )
        pool += found if name == "gsm8k" else [shortened(row, section.sentences) for row in found]
    return pool


def shortened(row: TraceRow, count: int) -> TraceRow:
    """The first ``count`` sentences of the thought, and of the answer."""
    return row.model_copy(
        update={
            "thought": " ".join(SENTENCE.findall(row.thought)[:count]) or row.thought,
            "response": " ".join(SENTENCE.findall(row.response)[:count]) or row.response,
        }
    )


def policy_traces(pool: Sequence[TraceRow], section: WarmStart) -> list[TraceRow]:
    """The traces on which the policy trains: the first of each set."""
    return _first(pool, section.policy, "models.warm_start.policy")


def source_traces(
    pool: Sequence[TraceRow], source: Source, counts: Mapping[TraceSet, int]
) -> list[TraceRow]:
    """The traces on which a source trains: evaluation's and training's sources share none.

    Raises DataError when a half of a set has too few.
    """
    half = int(source in EVAL_SOURCES)
    sets = {name: [row for row in pool if row.set == name][half::2] for name in counts}
    return _first(
        [row for rows in sets.values() for row in rows], counts, f"sources.traces.{source}"
    )


def documents(traces: Sequence[TraceRow], renderer: Renderer, longest: int) -> list[Pair]:
    """Prompt and target of each trace of at most ``longest`` tokens; the others are counted.

    Raises DataError when none is left.
    """
    pairs: list[Pair] = []
    for row in traces:
        head = renderer.prompt(renderer.escape(row.prompt)).token_ids
        ids = tuple(
            renderer.document(
                renderer.escape(row.prompt),
                renderer.escape(row.thought),
                renderer.escape(row.response),
            )
        )
        assert ids[: len(head)] == head
        if len(ids) <= longest:
            pairs.append((head, ids[len(head) :]))
    if len(pairs) < len(traces):
        dropped = len(traces) - len(pairs)
        print(f"left out {dropped} traces of more than {longest} tokens", file=sys.stderr)
    if not pairs:
        raise DataError(
            f"Expected traces of at most {longest} tokens, got none of {len(traces)}. Raise "
            "models.warm_start.longest."
        )
    return pairs


def fit(model: PreTrainedModel, pairs: Sequence[Pair], section: Fitting, seed: int) -> float:
    """Train ``model`` in place for ``section.updates``; the mean loss of the last tenth.

    A batch is the next documents of the epoch's order, as many as fit into ``batch_tokens``. Raises
    TrainingError when the loss is not finite.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=section.learning_rate, weight_decay=0.0)
    stream = _endless(pairs, seed)
    progress, losses = Progress("update", section.updates), []
    model.train()
    for update in range(1, section.updates + 1):
        for group in optimizer.param_groups:
            group["lr"] = section.learning_rate * _rate_share(update, section.updates)
        batch = _take(stream, section.batch_tokens)
        loss = _backward(model, batch)
        clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        if not torch.isfinite(torch.tensor(loss)):
            raise TrainingError(
                f"Expected a finite loss, got {loss} in update {update}. Lower the learning rate."
            )
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss)
        progress.step(update, f"loss {loss:.3f}")
    model.eval()
    tail = losses[-max(1, section.updates // 10) :]
    return sum(tail) / len(tail)


def _backward(model: PreTrainedModel, batch: Sequence[Pair]) -> float:
    """Add the gradient of the mean loss over the batch's target tokens; that loss."""
    tokens = sum(len(target) for _, target in batch)
    total = 0.0
    for head, target in batch:
        loss = target_losses(model, head, target).sum() / tokens
        loss.backward()
        total += float(loss.detach())
    return total


def target_losses(model: PreTrainedModel, head: Sequence[int], target: Sequence[int]) -> Tensor:
    """The next-token loss of each target token, [T]."""
    ids = torch.tensor([[*head, *target]], device=model.device)
    places = torch.arange(len(head) - 1, ids.shape[1] - 1, device=model.device)
    logits = model(input_ids=ids, logits_to_keep=places, use_cache=False).logits[0]
    return cross_entropy(logits.float(), ids[0, len(head) :], reduction="none")


def _rate_share(update: int, updates: int) -> float:
    rising = max(1.0, WARM_UP * updates)
    return min(update / rising, (updates - update + 1) / (updates - rising + 1), 1.0)


def _endless(pairs: Sequence[Pair], seed: int) -> Iterable[Pair]:
    epoch = 0
    while True:
        yield from _shuffled(pairs, derive_seed(seed, "epoch", epoch))
        epoch += 1


def _take(stream: Iterable[Pair], tokens: int) -> list[Pair]:
    """The next documents until ``tokens`` are reached."""
    batch: list[Pair] = []
    used = 0
    for head, target in stream:
        batch.append((head, target))
        used += len(head) + len(target)
        if used >= tokens:
            break
    return batch


def _benign(section: WarmStart, seed: int) -> list[tuple[str, str]]:
    """Our own benign requests as (id, prompt), shuffled."""
    found = []
    for row in read_table(section.data["benign"], "benign", ("benign.jsonl",), "train"):
        try:
            record = benign.record(row)
        except RowFault:
            continue
        found.append((record.id, record.prompt))
    return _shuffled(found, seed)


def _first(rows: Sequence[TraceRow], counts: Mapping[TraceSet, int], key: str) -> list[TraceRow]:
    found: list[TraceRow] = []
    for name, wanted in counts.items():
        own = [row for row in rows if row.set == name][:wanted]
        if len(own) < wanted:
            raise DataError(
                f"Expected {wanted} traces of the set {name} for {key}, got {len(own)}. Raise "
                f"models.warm_start.traces.{name}; training's and evaluation's sources each take "
                "one half."
            )
        found += own
    return found


def _shuffled(rows: Iterable[Any], seed: int) -> list[Any]:
    order = list(rows)
    random.Random(seed).shuffle(order)
    return order
