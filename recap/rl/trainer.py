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
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from recap.errors import TrainingError
from recap.params import Train, derive_seed
from recap.rl.batch import Batch, microbatches, minibatches, row_share, to_batch
from recap.rl.checkpoint import TrainingState
from recap.rl.collection import Collection, Collector
from recap.rl.curriculum import at_levels, levels
from recap.rl.grpo import GRPOTrainer, grpo_config
from recap.rl.metrics import Metrics, Speed, StepResult, update_metrics
from recap.rl.shared_prompt import pack, shared_prompt_attention, unpack
from recap.weights import save_model

MICRO_BATCH_TOKENS = 2048
"""Tokens of one forward and backward pass; the gradient does not depend on it, the memory does."""
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
        self._observed: dict[str, float] = defaultdict(float)
        self.current_gradient_accumulation_steps = 1
        self._prepared, _ = self._prepare_for_training(self.args.max_steps, None, None)

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
        set_seed(derive_seed(self._seed, "update", number))
        batch = self._generate_and_score_completions([])
        learning_rate = self._get_learning_rate()
        collected = time.perf_counter()
        steps = []
        if batch:
            order = torch.Generator().manual_seed(derive_seed(self._seed, "shuffle", number))
            for part in minibatches(batch, self.args.steps_per_generation, order):
                steps.append(self._optimise(part))
        optimised = time.perf_counter()
        metrics = update_metrics(
            number,
            self._collection,
            steps,
            batch_groups=self._recap.prompts_per_update,
            tau=self._recap.tau,
            epoch=self._collector.stream.epoch,
            learning_rate=learning_rate,
        )
        speed = Speed(
            total=time.perf_counter() - started,
            generation=self._collection.generation_seconds,
            scoring=self._collection.scoring_seconds,
            optimisation=optimised - collected,
        )
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
            progress={"cursor": self._collector.stream.cursor, "broken": self._broken_in_a_row},
            metrics=metrics,
            levels=levels(self._collector.stream.injection),
            self_prefills=list(self._collector.stream.own.values()),
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
        kept = self._collection.kept
        if not kept:
            return {}
        return to_batch(
            kept,
            self._recap.aggregation,
            self.processing_class.pad_token_id,
            scaled=self._recap.optimizer != "dr_grpo",
        )

    def training_step(
        self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: Tensor | None = None
    ) -> Tensor:
        """Forward and backward over a mini-batch in micro-batches; their losses add up."""
        model.train()
        total = torch.zeros(())
        for part in microbatches(inputs, MICRO_BATCH_TOKENS):
            if self.beta:
                part["ref_per_token_logps"] = self._reference_logps(part)
            loss = self.compute_loss(model, part)
            if self.loss_type != "dapo":  # TRL's mean is over the rows of this part alone
                loss = loss * row_share(part, self.args.steps_per_generation)
            self.accelerator.backward(loss)
            total += loss.detach().cpu()
            tokens = int(part["completion_mask"].sum())
            for name, values in self._metrics["train"].items():
                self._observed[name] += tokens * values[-1]
            self._metrics["train"].clear()
        return total

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


def _scored_elsewhere(**_: Any) -> list[float]:
    raise AssertionError("rewards come from the collector, TRL must not ask for them")
