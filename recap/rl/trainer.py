"""The policy update: TRL's GRPOTrainer with our rollouts, one generation batch at a time.

TRL's loss stays TRL's (``dapo``, ``grpo`` or ``dr_grpo``, its clip, its metrics). Ours are:
generation with scoring and dynamic sampling (``_generate_and_score_completions``), micro-batches
(``training_step``) and a forward pass that computes a group's prompt once
(``_get_per_token_logps_and_entropies``).
``update`` stands in for the Trainer's own loop, which can neither skip a broken step nor stop and
resume between two updates. Leaves out evaluation, saving and logging back-ends: callers do that.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from recap.errors import TrainingError
from recap.models.weights import save_model
from recap.params.seeds import derive_seed
from recap.params.train import Train
from recap.rl import processes
from recap.rl.batch import Batch, dealt, minibatches, row_share, to_batch
from recap.rl.checkpoint import TrainingState
from recap.rl.collection import Collection, Collector
from recap.rl.curriculum import at_levels, levels
from recap.rl.flops import forward_flops, gemm_peak, generation_flops, is_counted
from recap.rl.grpo import GRPOTrainer, grpo_config
from recap.rl.metrics import Metrics, Speed, StepResult, update_metrics
from recap.rl.shared_prompt import Packing, pack, shared_prompt_attention, unpack

MICRO_BATCH_TOKENS = 2048
"""Tokens of one forward and backward pass; the gradient does not depend on it, the memory does.
A run that finds too little memory for it halves it, for the rest of the run."""
MAX_BROKEN_STEPS = 5
"""Optimizer steps in a row without a finite loss and gradient after which training stops."""


class RecapTrainer(GRPOTrainer):
    """GRPOTrainer whose batches come from a Collector; drive it with ``update``."""

    def __init__(
        self,
        policy: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        collector: Collector,
        train: Train,
        *,
        output_dir: str,
        seed: int,
    ) -> None:
        """``policy`` is trained in place. ``seed``: of the replicate, shared by all variants."""
        self._as_loaded = copy.deepcopy((policy.config, policy.generation_config))
        super().__init__(
            model=policy,
            reward_funcs=_scored_elsewhere,
            args=grpo_config(train, output_dir, seed),
            train_dataset=Dataset.from_dict({"prompt": [""]}),
            processing_class=tokenizer,
        )
        self._collector, self._recap, self._seed = collector, train, seed
        self._collection = Collection()
        self._update = 0
        self._broken_in_a_row = 0
        self._micro_batch_tokens = MICRO_BATCH_TOKENS
        self._observed: dict[str, float] = defaultdict(float)
        self._gemm_peak: float | None = None
        if is_counted(policy.config):
            self._gemm_peak = gemm_peak(self.accelerator.device, torch.get_num_threads())
        self._speed = Speed(self._gemm_peak)
        self.current_gradient_accumulation_steps = 1
        self._prepared, _ = self._prepare_for_training(self.args.max_steps, None, None)
        # TRL gathers its loss's metrics for each micro-batch, which asks for as many rows in every
        # process; ours are added up once for each step (_over_processes).
        self.accelerator.gather = self.accelerator.reduce = _own

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
        batch = self._generate_and_score_completions([])
        learning_rate = self._get_learning_rate()
        steps = []
        if batch:
            order = torch.Generator().manual_seed(derive_seed(self._seed, "shuffle", number))
            for part in minibatches(batch, self.args.steps_per_generation, order):
                steps.append(self._optimise(part))
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
        if self._gemm_peak:
            speed.generation_flops = generation_flops(self.policy.config, self._collection.groups)
        speed.total = time.perf_counter() - started
        return metrics, speed

    def _optimise(self, batch: Batch) -> StepResult:
        """One optimizer step on a mini-batch, unless loss or gradient is not finite."""
        self._observed.clear()
        loss = float(self.training_step(self._prepared, batch, None))
        grad_norm = float(self._clip_grad_norm(self._prepared))
        applied = math.isfinite(loss) and math.isfinite(grad_norm)
        if applied:
            self.optimizer.step()
            self.lr_scheduler.step()
            self._broken_in_a_row = 0
        else:
            self._broken_in_a_row += 1
        self._prepared.zero_grad()
        self.state.global_step += 1
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
            clip_low=share["clip_ratio/low_mean"],
            clip_high=share["clip_ratio/high_mean"],
            entropy=share["entropy"],
            tokens=tokens,
            applied=applied,
        )

    def _send_telemetry(self) -> None:
        """Nothing leaves the machine, whatever the environment says."""

    # -- stop and go on ---------------------------------------------------------------------------

    def snapshot(self, update: int, metrics: list[Metrics]) -> TrainingState:
        """Everything that the updates after ``update`` depend on."""
        return TrainingState(
            update=update,
            model={name: p.detach().contiguous() for name, p in self.policy.named_parameters()},
            optimizer=self.optimizer.state_dict(),
            scheduler=self.lr_scheduler.state_dict(),
            progress={
                "cursor": self._collector.stream.cursor,
                "broken": self._broken_in_a_row,
                "micro_batch_tokens": self._micro_batch_tokens,
            },
            metrics=metrics,
            levels=levels(self._collector.stream.injection),
            self_prefills=list(self._collector.stream.own.values()),
            carried=self._collector.carried,
        )

    def restore(self, state: TrainingState) -> None:
        """Continue after ``state.update``, as if this process had made all updates itself."""
        with torch.no_grad():
            for name, parameter in self.policy.named_parameters():
                parameter.copy_(state.model[name])
        self.optimizer.load_state_dict(state.optimizer)
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
        """Write the policy's model directory, with the configuration it was loaded with.

        Trainers switch the cache off and set token ids for their own use.
        """
        in_use = (self.policy.config, self.policy.generation_config)
        self.policy.config, self.policy.generation_config = self._as_loaded
        save_model(self.policy, self.processing_class, directory)
        self.policy.config, self.policy.generation_config = in_use

    # -- what TRL calls ---------------------------------------------------------------------------

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Batch:
        """The informative groups of this update as TRL's tensors, ``{}`` if there are none.

        ``inputs``, TRL's rows of a data set, are not used.
        """
        self._collection = self._collector.collect(self._update)
        groups = self._collection.batch
        if not groups:
            return {}
        return to_batch(
            groups,
            self._recap.aggregation,
            self.processing_class.pad_token_id,
            full=self._recap.prompts_per_update,
            scaled=self._recap.optimizer != "dr_grpo",
        )

    def training_step(
        self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: Tensor | None = None
    ) -> Tensor:
        """Forward and backward over a mini-batch in micro-batches; their losses add up.

        Without the memory for one, all is done again with half the tokens in each. Of several
        processes each takes a part of them; its loss carries their number as a factor (TRL's
        ``dapo`` divides the normaliser by it), which the mean over processes takes out. Raises
        TrainingError when there is not enough memory for a single row.
        """
        model.train()
        count = processes.count()
        while True:
            total, rows = torch.zeros(()), 0
            try:
                parts = dealt(inputs, self._micro_batch_tokens, processes.index(), count)
                for number, (part, weight) in enumerate(parts, start=1):
                    rows = len(part["advantages"])
                    # Gradients are averaged over the processes once, in the last backward pass.
                    last = number == len(parts)
                    with nullcontext() if last else self.accelerator.no_sync(model):
                        total += self._micro_step(model, part, weight)
                return self._over_processes(total)
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                # Processes that share a step must cut it alike, which one alone cannot bring about.
                if rows <= 1 or count > 1:
                    raise TrainingError(
                        f"Expected memory for one forward and backward pass of {rows} rollouts "
                        f"(update {self._update}), got: {str(error).splitlines()[0]} Lower "
                        "train.grpo.max_completion_length, or train on a device with more memory."
                    ) from error
            # Only now: until the error is forgotten it holds on to the pass's activations.
            self._start_smaller(model)

    def _micro_step(self, model: torch.nn.Module, part: Batch, weight: int) -> Tensor:
        """Add a micro-batch's gradient, note TRL's metrics of it; its loss, ``weight`` times."""
        started = time.perf_counter()
        part = {name: value.to(self.accelerator.device) for name, value in part.items()}
        if self.beta:
            part["ref_per_token_logps"] = self._reference_logps(part)
        loss = weight * self.compute_loss(model, part)
        if self.loss_type != "dapo":  # TRL's mean is over the rows of this part alone
            share = row_share(part, self.args.steps_per_generation)
            loss = loss * (share * processes.count())
        computed = time.perf_counter()
        self.accelerator.backward(loss)
        said = loss.detach().cpu()
        self._speed.forward += computed - started
        self._speed.backward += time.perf_counter() - computed
        tokens = weight * int(part["completion_mask"].sum())
        for name, values in self._metrics["train"].items():
            self._observed[name] += tokens * values[-1]
        self._metrics["train"].clear()
        return said

    def _start_smaller(self, model: torch.nn.Module) -> None:
        """Forget what was done of this step; from now on micro-batches have half the tokens."""
        model.zero_grad()
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

    def _reference_logps(self, batch: Batch) -> Tensor:
        """Log-probabilities of the completions under the base policy, for the KL term."""
        with torch.no_grad():
            logps, _, _ = self._get_per_token_logps_and_entropies(
                self.ref_model,
                torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
                torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
                batch["completion_ids"].shape[1],
            )
        return logps

    def _get_per_token_logps_and_entropies(
        self,
        model: torch.nn.Module,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[Tensor, Tensor | None, None]:
        """Log-probabilities (and entropies) of the completion tokens, [B, logits_to_keep]."""
        prompts, completions = input_ids.tensor_split([-logits_to_keep], dim=1)
        prompt_mask, mask = attention_mask.tensor_split([-logits_to_keep], dim=1)
        packing = pack(prompts, prompt_mask, completions, mask)
        self._count(packing)
        with (
            self.accelerator.autocast(),
            shared_prompt_attention(self.accelerator.unwrap_model(model)),
        ):
            outputs = model(
                input_ids=packing.input_ids,
                position_ids=packing.position_ids,
                shift_labels=packing.labels,
                packing=packing,
                fused_lm_head=True,
            )
        logps = unpack(outputs.log_probs, packing)
        return logps, unpack(outputs.entropy, packing) if compute_entropy else None, None

    def _count(self, packing: Packing) -> None:
        """Add a micro-batch's operations: forward, and twice that if a backward pass follows."""
        if self._gemm_peak:
            self._speed.training_flops += (3 if torch.is_grad_enabled() else 1) * forward_flops(
                self.policy.config,
                tokens=packing.position_ids.numel(),
                keys=int((packing.position_ids + 1).sum()),
                predictions=int((packing.labels >= 0).sum()),
            )


def _out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; torch's allocator for CPUs says so in words alone."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "DefaultCPUAllocator: can't allocate memory" in str(error)


def _own(tensor: Tensor, reduction: str = "") -> Tensor:
    """What this process has, where TRL asks for that of all."""
    return tensor


def _scored_elsewhere(**_: Any) -> list[float]:
    raise AssertionError("rewards come from the collector, TRL must not ask for them")
