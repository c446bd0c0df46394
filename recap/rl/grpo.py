"""TRL's options of a cell, which our trainer and the stock trainer of the tests both read.

Nothing of TRL's trainer is imported: with it come vLLM and MLflow, wherever they are installed.
"""

from __future__ import annotations

import math

import torch
from transformers import PreTrainedModel
from trl.trainer.grpo_config import GRPOConfig

from recap.params.train import Train


def grpo_config(train: Train, seed: int) -> GRPOConfig:
    """TRL's configuration: ``train.grpo`` verbatim, nothing logged or saved.

    The clip is asymmetric for ``dapo``; the others clip at ``epsilon_low`` on both sides.
    """
    grpo = train.grpo
    groups_per_step = math.ceil(train.prompts_per_update / grpo.steps_per_generation)
    return GRPOConfig(
        **grpo.model_dump(),
        loss_type=train.optimizer,
        scale_rewards="none" if train.optimizer == "dr_grpo" else "group",
        epsilon=train.epsilon_low,
        epsilon_high=train.epsilon_high if train.optimizer == "dapo" else train.epsilon_low,
        per_device_train_batch_size=groups_per_step * grpo.num_generations,
        max_steps=train.updates * grpo.steps_per_generation,
        seed=seed,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        bf16=False,
        gradient_checkpointing=False,  # the trainer turns it on itself
    )


def adamw(policy: PreTrainedModel, config: GRPOConfig) -> torch.optim.AdamW:
    """AdamW as transformers makes it: norms and biases, all of one dimension, do not decay."""
    parameters = [p for p in policy.parameters() if p.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        fused=True,
    )
