"""Tokens of a training and how long they take: a roofline for rollouts, operations for the rest.

Leaves out start-up, scoring and saving.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from recap.estimate.hardware import Device, Hardware
from recap.estimate.memory import BF16, FP32, PROMPT_TOKENS, longest_row
from recap.estimate.shape import Shape
from recap.params.sampling import Sampling
from recap.params.train import Train


@dataclass(frozen=True, slots=True)
class Assumed:
    """``length``: tokens of a completion, on average. ``kept``: the share of groups that teach."""

    length: float
    kept: float


@dataclass(frozen=True, slots=True)
class Work:
    """Of one training: tokens written and trained on, and seconds."""

    written: float
    trained: float
    rollout_seconds: float
    training_seconds: float

    @property
    def seconds(self) -> float:
        """Of both."""
        return self.rollout_seconds + self.training_seconds


def drawn_per_wanted(train: Train, kept: float) -> float:
    """Groups that an update draws for each that it wants.

    A round draws what is ``missing``, so that a share 1 - k is missing after it; or as many as are
    ``expected`` to fill the batch, 1 / k in all. If every prompt were solved with the same
    probability p, k would be 1 - p^G - (1 - p)^G for groups of G.
    """
    rounds = 1 + train.max_refill_rounds
    if train.refill == "expected":
        return min(rounds, 1 / kept)
    return (1 - (1 - kept) ** rounds) / kept


def training_work(train: Train, shape: Shape, hardware: Hardware, assumed: Assumed) -> Work:
    """The work of all updates of one cell."""
    device, count = hardware.device, hardware.count
    if train.method == "sft":
        trained = float(train.updates * train.sft.batch_tokens)
        seconds = trained * _training_flops(train, shape, assumed.length)
        return Work(0.0, trained, 0.0, seconds / (count * device.peak * device.training))
    rows = train.prompts_per_update * train.grpo.num_generations
    drawn = drawn_per_wanted(train, assumed.kept)
    written = train.updates * rows * drawn * assumed.length
    trained = train.updates * rows * min(1.0, assumed.kept * drawn) * assumed.length
    engines, width = engines_of(train, count)
    speed = decoding_speed(
        train, shape, hardware, math.ceil(rows / engines), assumed.length, width=width
    )
    flops = trained * _training_flops(train, shape, assumed.length)
    return Work(
        written,
        trained,
        written / (engines * speed),
        flops / (count * device.peak * device.training),
    )


def engines_of(section: Train | Sampling, processes: int) -> tuple[int, int]:
    """How many engines ``processes`` generate with, and how many devices each is spread over."""
    if section.engine == "server":
        return section.servers.count, section.servers.tensor_parallel
    return processes, 1


def devices_of(train: Train) -> int:
    """The devices that training takes: one for each process, and those of its servers."""
    engines, width = engines_of(train, train.processes)
    return train.processes + (engines * width if train.engine == "server" else 0)


def decoding_speed(
    train: Train, shape: Shape, hardware: Hardware, rows: int, length: float, *, width: int = 1
) -> float:
    """Tokens a second that one engine writes for ``rows`` sequences of ``length`` on average.

    It is spread over ``width`` devices.
    """
    number = BF16 if hardware.device.gpu else FP32
    context = longest_row(train) - train.grpo.max_completion_length + length / 2
    return roofline(shape, hardware.device, rows, context, number=number, width=width)


def roofline(
    shape: Shape, device: Device, rows: int, context: float, *, number: int, width: int
) -> float:
    """Tokens a second of an engine on ``width`` devices that writes ``rows`` sequences.

    ``context``: of a sequence, on average, in tokens; ``number``: bytes of a weight. Each step
    reads all weights and the keys and values so far, and computes each row's token: the slower of
    the two counts.
    """
    cache = 2 * shape.num_hidden_layers * shape.cached * context * number
    read = (number * shape.parameters + rows * cache) / (width * device.bandwidth)
    computed = rows * token_flops(shape, context) / (width * device.peak)
    return device.decoding * rows / max(read, computed)


def _training_flops(train: Train, shape: Shape, length: float) -> float:
    """Operations of forward and backward a token: three forwards, of frozen weights two."""
    passes = (2 if train.adapter else 3) + train.checkpointing
    return passes * token_flops(shape, PROMPT_TOKENS + length / 2)


def token_flops(shape: Shape, keys: float) -> float:
    """Operations of a forward pass a token that sees ``keys`` keys and predicts the next one.

    As training counts its own (recap/rl/flops.py), which loads torch.
    """
    attention = shape.hidden_size * (2 * shape.queries + 2 * shape.cached)
    layer = 2 * (attention + 3 * shape.hidden_size * shape.intermediate_size)
    seen = 4 * keys * shape.queries
    return shape.num_hidden_layers * (layer + seen) + 2 * shape.hidden_size * shape.vocab_size
