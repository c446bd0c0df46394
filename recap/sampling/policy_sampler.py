"""Rollouts through vLLM from a policy under training: synced at each call, with a canary.

The engine runs in this process or in servers. Like the torch sampler it reads the weights at each
call, so that nobody can forget to sync. After each sync every engine continues a few fixed prompts,
and the policy itself says how probable those tokens are: an engine that serves other weights, keys
and values of older weights or another temperature stops training before a rollout comes of it. The
canary generates instead of scoring given text because vLLM, asked for a prompt's log-probabilities,
passes its prefix cache by and would hide a stale one.

Leaves out policies spread over several GPUs.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Protocol

import torch
from transformers import PreTrainedModel

from recap.errors import SyncError
from recap.models.weights import load_scorer
from recap.params.values import Precision
from recap.sampling.sampler import WHOLE, Sampler
from recap.sampling.torch_sampler import evaluating
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding, Sample

CANARY_PROMPTS, CANARY_TOKENS = 4, 16
TOLERANCE, HALF_TOLERANCE = 1e-4, 5e-2
"""Mean |difference| of a token's log-probability, in nats, beyond which an engine serves something
else: where engine and policy compute in fp32, and where one of them computes in 16 bits.

Measured at 0.6M parameters: rounding 1e-6 (fp32) and 2e-2 (bf16); weights stale by one AdamW step
5e-2 at a learning rate of 3e-4 and 1.3e-4 at 1e-6, which 16 bits cannot tell from rounding.
"""


GPU_MEMORY_SHARE = 0.3
"""Of the GPU that engine and trainer share, the engine's part: what TRL gives one by default."""


class Engine(Sampler, Protocol):
    """An engine that can be given other weights; ``VllmSampler`` or ``ServerSampler``."""

    @property
    def replicas(self) -> int:
        """How many copies of the weights serve a call: prompt i goes to number i % replicas."""
        ...

    def sync(self, policy: PreTrainedModel) -> torch.dtype:
        """Serve these weights, in every copy; returns the precision they are served in."""
        ...


class FixedSampler:
    """Samples of one model from an engine that somebody else started, so that it serves any.

    At the first call the engine gets the model's weights and is checked as in training; the model
    is then let go.
    """

    def __init__(self, model_dir: Path, engine: Engine) -> None:
        self._model_dir, self._engine = model_dir, engine
        self._proven = False

    def sample(
        self,
        prompts: Sequence[RenderedPrompt],
        decoding: Decoding,
        *,
        num_samples: int,
        seed: int,
        part: slice = WHOLE,
    ) -> list[list[Sample]]:
        """``num_samples`` samples for each prompt in ``prompts[part]``, in the prompts' order.

        Raises SyncError when the engine does not serve the model.
        """
        if not self._proven:
            model = load_scorer(self._model_dir)
            precision: Precision = "float32" if model.dtype == torch.float32 else "bfloat16"
            own = PolicySampler(model, self._engine, precision)
            self._proven = own.prove(prompts, decoding.temperature)
        return self._engine.sample(prompts, decoding, num_samples=num_samples, seed=seed, part=part)

    def conversation(self) -> FixedSampler:
        """The engine keeps what it has read by itself."""
        return self


class PolicySampler:
    """Samples from the policy as it is at each call."""

    def __init__(
        self, policy: PreTrainedModel, engine: Engine, precision: Precision = "float32"
    ) -> None:
        """``engine`` is of the same architecture; its own weights never serve.

        ``precision``: of the policy's matrix products.
        """
        self._policy, self._engine, self._precision = policy, engine, precision
        self._canaries: list[RenderedPrompt] = []

    def sample(
        self,
        prompts: Sequence[RenderedPrompt],
        decoding: Decoding,
        *,
        num_samples: int,
        seed: int,
        part: slice = WHOLE,
    ) -> list[list[Sample]]:
        """``num_samples`` samples for each prompt in ``prompts[part]``, in one engine call.

        Raises SyncError when the engine does not serve the policy's weights.
        """
        self.prove(prompts, decoding.temperature)
        return self._engine.sample(prompts, decoding, num_samples=num_samples, seed=seed, part=part)

    def prove(self, prompts: Sequence[RenderedPrompt], temperature: float) -> bool:
        """Give the engine the policy's weights; raise SyncError when it does not serve them.

        Whether that was checked: not where no prompt fits the model, and nothing is generated.
        """
        precision = self._engine.sync(self._policy)
        if not self._canaries:
            context = self._policy.config.max_position_embeddings
            distinct = dict.fromkeys(p for p in prompts if len(p.token_ids) < context)
            count = min(CANARY_PROMPTS, len(distinct))
            # Each replica is asked, with one prompt more than once where they are too few.
            count = max(count, self._engine.replicas) if distinct else 0
            self._canaries = list(islice(cycle(distinct), count))
        if not self._canaries:
            return False
        exact = precision == torch.float32 and self._precision == "float32"
        self._check(temperature, TOLERANCE if exact else HALF_TOLERANCE)
        return True

    def _check(self, temperature: float, tolerance: float) -> None:
        """Compare engine and policy on the canary's continuations, token by token."""
        short = Decoding(temperature, 1.0, CANARY_TOKENS)
        groups = self._engine.sample(self._canaries, short, num_samples=1, seed=0)
        gaps: list[list[float]] = [[] for _ in range(self._engine.replicas)]
        for number, (prompt, (sample,)) in enumerate(zip(self._canaries, groups, strict=True)):
            own = self._logprobs(prompt.token_ids, sample.token_ids, temperature)
            gaps[number % len(gaps)] += [
                abs(a - b) for a, b in zip(sample.sampling_logprobs, own, strict=True)
            ]
        for replica, its in enumerate(gaps):
            mean = statistics.fmean(its)
            if not mean <= tolerance:  # NaN too
                raise SyncError(
                    "Expected the engine to serve the weights that it was given, with "
                    f"log-probabilities within {tolerance:g} of its own on average, got {mean:.2g} "
                    f"(largest {max(its):.2g}, {len(its)} tokens, engine {replica + 1} of "
                    f"{len(gaps)}). Its samples would be another model's. Set train.engine, or "
                    "sampling.engine for prefills and attacks, to torch, or install the vLLM that "
                    "constraints.txt names; the states saved so far are whole."
                )

    def _logprobs(
        self, prompt: tuple[int, ...], generated: tuple[int, ...], temperature: float
    ) -> list[float]:
        """The policy's own log-probabilities of ``generated`` after ``prompt``."""
        ids = torch.tensor([prompt + generated], device=self._policy.device)
        with torch.inference_mode(), evaluating(self._policy):
            logits = self._policy(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
        logprobs = (logits.float() / temperature).log_softmax(-1)
        values: list[float] = logprobs.gather(1, ids[0, len(prompt) :, None])[:, 0].tolist()
        return values
