"""Rollouts and their rewards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recap.types.prompts import PrefilledPrompt, RenderedPrompt

FinishReason = Literal["stop", "length", "overflow"]
"""Why generation ended: the model ended the text, reached ``max_tokens``, or filled its context
before either.

The sampler sets this value. ``length`` is the policy's fault: it has its own reward in training and
is a failure in evaluation. ``overflow``, with or without generated tokens, is a limit of the
model's size and not the policy's fault, so the row is unscored in both.
"""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Sampling settings. ``max_tokens`` bounds the generated part, without the prefill."""

    temperature: float
    top_p: float
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A sampler's result for one prompt: generated ids (with the final EOS, if any).

    ``sampling_logprobs[t]`` is the log-probability of ``token_ids[t]`` under the sampling policy at
    the sampling temperature, before top-p truncation. vLLM cannot tell them below top-p 1: then
    there are none.
    """

    token_ids: tuple[int, ...]
    sampling_logprobs: tuple[float, ...]
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Rollout:
    """A training sample, split into the generated chain of thought and the response.

    ``response`` is ``None`` if the think block was not closed or the text was cut off.
    """

    prompt: PrefilledPrompt
    rendered: RenderedPrompt
    sample: Sample
    cot: str
    response: str | None


@dataclass(frozen=True, slots=True)
class Reward:
    """Reward of one rollout in [0, 1] (``logit`` mode: any real), ``None`` when unscored.

    ``train.turn_reward`` may be included.
    """

    value: float | None
    component: Literal["safety", "helpfulness", "math"]


@dataclass(frozen=True, slots=True)
class RolloutGroup:
    """The G rollouts of one prompt with their rewards, in order.

    ``policy_version`` is the update for which they were sampled, with the weights at that time.
    """

    prompt: PrefilledPrompt
    rollouts: tuple[Rollout, ...]
    rewards: tuple[Reward, ...]
    policy_version: int
