"""What a policy generates, and what it earns in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recap.types.prompts import PrefilledPrompt, RenderedPrompt

FinishReason = Literal["stop", "length", "overflow"]
"""Why generation ended: the model ended the text, ``max_tokens`` were spent, or the model's context
was full before either.

Samplers decide it, once. ``length`` is the policy's doing: a reward of its own in training, a
failure in evaluation. ``overflow``, with or without generated tokens, says something of the model's
size and nothing of the policy: such a row is unscored in both.
"""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How to sample. ``max_tokens`` bounds the generated part (the prefill is not counted)."""

    temperature: float
    top_p: float
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What a sampler returns for one prompt: generated ids (with the final EOS, if any).

    ``sampling_logprobs[t]`` is the log-probability of ``token_ids[t]`` under the sampling policy at
    the sampling temperature, before top-p truncation.
    """

    token_ids: tuple[int, ...]
    sampling_logprobs: tuple[float, ...]
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Rollout:
    """A training sample, split into the generated chain of thought and the response.

    ``response`` is ``None`` when the think block was never closed or the text was cut off.
    """

    prompt: PrefilledPrompt
    rendered: RenderedPrompt
    sample: Sample
    cot: str
    response: str | None


@dataclass(frozen=True, slots=True)
class Reward:
    """Reward of one rollout in [0, 1] (``logit`` mode: any real), ``None`` when unscored.

    ``train.turn_reward`` may have added to it.
    """

    value: float | None
    component: Literal["safety", "helpfulness", "math"]


@dataclass(frozen=True, slots=True)
class RolloutGroup:
    """The G rollouts of one prompt with their rewards, in order.

    ``policy_version`` is the update that they were sampled for, by the weights as they were then.
    """

    prompt: PrefilledPrompt
    rollouts: tuple[Rollout, ...]
    rewards: tuple[Reward, ...]
    policy_version: int
