"""The policy update: rollouts, micro-batches, one optimizer step after another.

The loss is ``recap.rl.loss``'s, a group's prompt is computed once (``recap.rl.shared_prompt``), and
accelerate spreads the work over processes. TRL gives the options and the chunked head, which never
holds all tokens' logits. ``update`` skips a broken step, and a run stops and goes on between two
updates. Leaves out evaluation, saving and logging back-ends: callers do that.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections import defaultdict
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, get_scheduler, set_seed
from trl.trainer.utils import add_fused_lm_head

from recap import processes
from recap.errors import TrainingError
from recap.models.adapter import (
    add_adapter,
    checkpoint_activations,
    trained_parameters,
    without_adapter,
)
from recap.models.weights import save_model
from recap.params.seeds import derive_seed
from recap.params.train import Train
from recap.rl import sharding
from recap.rl.batch import Batch, dealt, minibatches, normaliser, to_batch
from recap.rl.checkpoint import TrainingState
from recap.rl.collection import Collection, Collector
from recap.rl.curriculum import at_levels, levels
from recap.rl.flops import forward_flops, gemm_peak, generation_flops, is_counted
from recap.rl.grpo import adamw, grpo_config
from recap.rl.loss import masked_mean, policy_loss
from recap.rl.memory import out_of_memory, too_little
from recap.rl.metrics import Metrics, Speed, StepResult, update_metrics
from recap.rl.shared_prompt import Packing, pack, shared_prompt_attention, unpack

MICRO_BATCH_TOKENS = 2048
"""Tokens of one forward and backward pass; the gradient does not depend on it, the memory does.
A run that finds too little memory for it halves it, for the rest of the run."""
MAX_BROKEN_STEPS = 5
"""Optimizer steps in a row without a finite loss and gradient after which training stops."""


class RecapTrainer:
    """Trains ``policy`` in place on what a Collector gives; drive it with ``update``."""

    def __init__(
        self,
        policy: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        collector: Collector,
        train: Train,
        *,
        seed: int,
        rollout_copy: PreTrainedModel | None = None,
    ) -> None:
        """``seed``: of the replicate, shared by all variants.

        ``rollout_copy``: what the collector samples in place of a sharded policy, kept up to date.
        """
        self._sharded = train.launch.shard != "none"
        assert self._sharded == (rollout_copy is not None), "nobody can sample a sharded policy"
        self._rollout_copy = rollout_copy
        self._tokenizer, self._collector = tokenizer, collector
        self._recap, self._seed = train, seed
        self._config = grpo_config(train, seed)
        autocast = train.precision == "bfloat16" and not self._sharded  # FSDP has its own
        self.accelerator = Accelerator(mixed_precision="bf16" if autocast else "no")
        copied = train.grpo.beta and not train.adapter
        self.reference = self._frozen_copy(policy) if copied else None
        if train.adapter:
            add_adapter(policy, train.adapter, derive_seed(seed, "adapter"))
        if train.checkpointing:
            checkpoint_activations(policy)
        add_fused_lm_head(policy, train.grpo.temperature, outputs=("log_probs", "entropy"))
        if self._sharded:
            sharding.shard(policy, train.precision)
            self._prepared, self.optimizer = policy, adamw(policy, self._config)
        else:
            # Not wrapped: who averages gradients in a pass cannot start it anew.
            self._prepared = self.accelerator.prepare_model(policy, evaluation_mode=True)
            self.optimizer = self.accelerator.prepare_optimizer(adamw(policy, self._config))
        self.lr_scheduler = get_scheduler(
            self._config.lr_scheduler_type,
            self.optimizer,
            num_warmup_steps=0,
            num_training_steps=self._config.max_steps,
        )
        self._collection = Collection()
        self._update = 0
        self._broken_in_a_row = 0
        self._micro_batch_tokens = MICRO_BATCH_TOKENS
        self._observed: dict[str, float] = defaultdict(float)
        self._gemm_peak: float | None = None
        if is_counted(policy.config):
            threads, dtype = torch.get_num_threads(), getattr(torch, train.precision)
            self._gemm_peak = gemm_peak(self.accelerator.device, threads, dtype)
        self._speed = Speed(self._gemm_peak)

    def _frozen_copy(self, policy: PreTrainedModel) -> PreTrainedModel:
        """The reference of the KL term: the policy as it is before the first update."""
        reference = copy.deepcopy(policy).requires_grad_(False)
        add_fused_lm_head(reference, self._recap.grpo.temperature)
        if self._sharded:
            sharding.shard(reference, self._recap.precision)
            return reference
        return self.accelerator.prepare_model(reference, evaluation_mode=True)

    @property
    def policy(self) -> PreTrainedModel:
        """The policy as it is now, out of any wrapper."""
        return self.accelerator.unwrap_model(self._prepared)

    # -- one update -------------------------------------------------------------------------------

    def update(self, number: int) -> tuple[Metrics, Speed]:
        """Collect one generation batch and take its optimizer steps; weights change in place.

        Every random number generator is seeded anew from the update's number, so that between two
        updates there is none to save. Raises TrainingError after too many broken steps in a row.
        """
        started = time.perf_counter()
        self._update = number
        self._speed = speed = Speed(self._gemm_peak)
        set_seed(derive_seed(self._seed, "update", number))
        batch = self.collect()
        learning_rate = self.lr_scheduler.get_last_lr()[0]
        steps = []
        if batch:
            order = torch.Generator().manual_seed(derive_seed(self._seed, "shuffle", number))
            for part in minibatches(batch, self._recap.grpo.steps_per_generation, order):
                steps.append(self.optimise(part))
        metrics = update_metrics(
            number,
            self._collection,
            steps,
            batch_groups=self._recap.prompts_per_update,
            tau=self._recap.tau,
            epoch=self._collector.stream.epoch,
            learning_rate=learning_rate,
            carries=self._recap.refill == "expected",
        )
        speed.generation = self._collection.generation_seconds
        speed.scoring = self._collection.scoring_seconds
        if self._gemm_peak and self._recap.precision == "float32":  # rollouts' precision too
            speed.generation_flops = generation_flops(self.policy.config, self._collection.groups)
        speed.total = time.perf_counter() - started
        return metrics, speed

    def optimise(self, batch: Batch) -> StepResult:
        """One optimizer step on a mini-batch, unless loss or gradient is not finite."""
        self._observed.clear()
        loss = float(self.backward(batch))
        parameters, longest = self._prepared.parameters(), self._recap.grpo.max_grad_norm
        grad_norm = float(sharding.whole(self.accelerator.clip_grad_norm_(parameters, longest)))
        applied = math.isfinite(loss) and math.isfinite(grad_norm)
        if applied:
            self.optimizer.step()
            self.lr_scheduler.step()
            self._broken_in_a_row = 0
        else:
            self._broken_in_a_row += 1
        self._prepared.zero_grad()
        if self._broken_in_a_row >= MAX_BROKEN_STEPS:
            raise TrainingError(
                f"Expected a finite loss and gradient, got {self._broken_in_a_row} steps in a row "
                f"without (update {self._update}). Lower train.grpo.learning_rate."
            )
        tokens = int(batch["completion_mask"].sum())
        share = {name: value / max(tokens, 1) for name, value in self._observed.items()}
        return StepResult(
            loss=loss,
            grad_norm=grad_norm,
            clip_low=share["clip_low"],
            clip_high=share["clip_high"],
            entropy=share["entropy"],
            tokens=tokens,
            applied=applied,
        )

    # -- stop and go on ---------------------------------------------------------------------------

    def snapshot(self, update: int, metrics: list[Metrics]) -> TrainingState:
        """Everything that the updates after ``update`` depend on; all processes have to call."""
        sharding.reshard(self.policy)
        return TrainingState(
            update=update,
            model={n: sharding.for_main(p) for n, p in trained_parameters(self.policy).items()},
            optimizer=sharding.optimizer_state(self.optimizer),
            scheduler=self.lr_scheduler.state_dict(),
            progress={
                "cursor": self._collector.stream.cursor,
                "broken": self._broken_in_a_row,
                "micro_batch_tokens": self._micro_batch_tokens,
                "processes": processes.count(),
            },
            metrics=metrics,
            levels=levels(self._collector.stream.injection),
            self_prefills=list(self._collector.stream.own.values()),
            carried=self._collector.carried,
        )

    def restore(self, state: TrainingState) -> None:
        """Continue after ``state.update``, as if this process had made all updates itself."""
        with torch.no_grad():
            for name, parameter in trained_parameters(self.policy).items():
                parameter.copy_(sharding.shares_like(state.model[name], parameter))
        sharding.load_optimizer(self.optimizer, state.optimizer)
        self.lr_scheduler.load_state_dict(state.scheduler)
        stream = self._collector.stream
        stream.cursor = state.progress["cursor"]
        stream.injection = at_levels(stream.injection, state.levels)
        self._broken_in_a_row = state.progress["broken"]
        stream.own.clear()
        stream.own.update({p.prompt_id: p for p in state.self_prefills})
        self._micro_batch_tokens = state.progress["micro_batch_tokens"]
        self._collector.carried = state.carried

    def save(self, directory: Path) -> None:
        """Write the policy's model directory in the main process; all have to call."""
        if self._sharded:
            sharding.save_policy(self.policy, self._tokenizer, directory)
        elif processes.is_main():
            save_model(self.policy, self._tokenizer, directory)

    # -- one step ---------------------------------------------------------------------------------

    def collect(self) -> Batch:
        """The informative groups of this update as tensors, ``{}`` if there are none."""
        if self._rollout_copy is not None:
            sharding.refresh(self._rollout_copy, self.policy)
        self._collection = self._collector.collect(self._update)
        groups = self._collection.batch
        if not groups:
            return {}
        return to_batch(
            groups,
            self._recap.aggregation,
            self._tokenizer.pad_token_id or 0,  # a mask hides what is padded
            full=self._recap.prompts_per_update,
            scaled=self._recap.optimizer != "dr_grpo",
        )

    def backward(self, batch: Batch) -> Tensor:
        """Forward and backward over a mini-batch in micro-batches; their losses add up.

        Without the memory for one, all is done again with half the tokens in each, in every process
        if one lacks it. Of several processes each takes a part of them; its loss carries their
        number as a factor, which the mean over processes takes out. Raises TrainingError without
        the memory for a single row, or for a pass of a sharded policy.
        """
        self._prepared.train()
        place = processes.index(), processes.count()
        while True:
            total, rows, lack = torch.zeros(()), 0, ""
            try:
                for part, weight in dealt(batch, self._micro_batch_tokens, *place):
                    rows = len(part["advantages"])
                    total += self._micro_step(part, weight)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                lack = f"{type(error).__name__} {error}".splitlines()[0]
                if self._sharded:  # its peers wait in the pass for its weights: none can start anew
                    raise TrainingError(too_little(rows, lack, self._update)) from error
            # Only now: until the error is forgotten it holds on to the pass's activations.
            lacking = sorted(each for each in processes.gathered([(rows, lack)]) if each[1])
            if not lacking:
                if not self._sharded:  # whose passes average shards
                    processes.average_gradients(self._prepared.parameters())
                return self._over_processes(total)
            if lacking[0][0] <= 1:
                raise TrainingError(too_little(*lacking[0], self._update))
            self._start_smaller()

    def _micro_step(self, part: Batch, weight: int) -> Tensor:
        """Add a micro-batch's gradient, note what it shows; its loss, ``weight`` times."""
        started = time.perf_counter()
        part = {name: value.to(self.accelerator.device) for name, value in part.items()}
        reference = self._reference_logprobs(part) if self._recap.grpo.beta else None
        logprobs, entropy = self.token_logprobs(self._prepared, part)
        assert entropy is not None
        mask, grpo, config = part["completion_mask"], self._recap.grpo, self._config
        loss = policy_loss(
            policy_logprobs=logprobs,
            sampling_logprobs=part["sampling_logprobs"],
            reference_logprobs=reference,
            advantages=part["advantages"],
            mask=mask,
            optimizer=self._recap.optimizer,
            low=config.epsilon,
            high=config.epsilon_high,
            beta=grpo.beta,
            longest=grpo.max_completion_length,
            normaliser=normaliser(
                part, self._recap.optimizer, grpo.steps_per_generation, processes.count()
            ),
        )
        value = weight * loss.value
        computed = time.perf_counter()
        self.accelerator.backward(value)
        said = value.detach().cpu()
        self._speed.forward += computed - started
        self._speed.backward += time.perf_counter() - computed
        tokens = weight * int(mask.sum())
        self._observed["clip_low"] += tokens * loss.clip_low
        self._observed["clip_high"] += tokens * loss.clip_high
        self._observed["entropy"] += tokens * masked_mean(entropy.detach(), mask)
        return said

    def _reference_logprobs(self, part: Batch) -> Tensor:
        """Those of the policy before the first update: of the copy, or without the adapter."""
        with torch.no_grad():
            if self.reference is not None:
                return self.token_logprobs(self.reference, part)[0]
            with without_adapter(self.policy):
                return self.token_logprobs(self.policy, part)[0]

    def _start_smaller(self) -> None:
        """Forget what was done of this step; from now on micro-batches have half the tokens."""
        self._prepared.zero_grad()
        self._observed.clear()
        self._speed.memory_retries += 1
        self._micro_batch_tokens //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        print(
            f"out of memory in update {self._update}: micro-batches of at most "
            f"{self._micro_batch_tokens} tokens from now on",
            file=sys.stderr,
        )

    def _over_processes(self, loss: Tensor) -> Tensor:
        """The mini-batch's loss from those of its parts; what was observed is added up likewise."""
        if processes.count() == 1:
            return loss
        sums = processes.summed({"loss": float(loss), **self._observed})
        loss = torch.tensor(sums.pop("loss") / processes.count())
        self._observed.update(sums)
        return loss

    def token_logprobs(self, model: torch.nn.Module, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities of the completion tokens, [R, C], and entropies if the head has them.

        At the temperature of training; ``model`` is the prepared policy or the reference.
        """
        packing = pack(
            batch["prompt_ids"],
            batch["prompt_mask"],
            batch["completion_ids"],
            batch["completion_mask"],
        )
        self._count(packing)
        with shared_prompt_attention(self.accelerator.unwrap_model(model)):
            outputs = model(
                input_ids=packing.input_ids,
                position_ids=packing.position_ids,
                shift_labels=packing.labels,
                packing=packing,
                fused_lm_head=True,
            )
        entropy = outputs.entropy
        return (
            unpack(outputs.log_probs, packing),
            None if entropy is None else unpack(entropy, packing),
        )

    def _count(self, packing: Packing) -> None:
        """Add a micro-batch's operations: forward, and what a backward pass takes if one follows.

        That is two forwards; with frozen weights about one, and one more with checkpointing.
        """
        if self._gemm_peak:
            backward = (1 if self._recap.adapter else 2) + self._recap.checkpointing
            passes = 1 + backward if torch.is_grad_enabled() else 1
            self._speed.training_flops += passes * forward_flops(
                self.policy.config,
                tokens=packing.position_ids.numel(),
                keys=int((packing.position_ids + 1).sum()),
                predictions=int((packing.labels >= 0).sum()),
            )
