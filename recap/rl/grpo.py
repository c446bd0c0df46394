"""TRL's GRPOTrainer and its configuration, imported without what TRL drags in unused.

TRL imports vLLM and MLflow wherever they are installed, which costs many seconds; here neither is
used (rollouts come from our samplers, metrics go to files).
"""

from __future__ import annotations

import math
import os

import trl.import_utils as trl_imports

from recap.params.train import Train

os.environ.setdefault("DISABLE_MLFLOW_INTEGRATION", "TRUE")
_is_vllm_available = trl_imports.is_vllm_available
trl_imports.is_vllm_available = lambda min_version=None: False
from trl.trainer.grpo_config import GRPOConfig  # noqa: E402  # after the answer that it asks for
from trl.trainer.grpo_trainer import GRPOTrainer  # noqa: E402  # likewise

trl_imports.is_vllm_available = _is_vllm_available

__all__ = ["GRPOConfig", "GRPOTrainer", "grpo_config"]


def grpo_config(train: Train, output_dir: str, seed: int) -> GRPOConfig:
    """TRL's configuration: ``train.grpo`` verbatim, nothing logged or saved.

    The clip is asymmetric for ``dapo``; the others clip at ``epsilon_low`` on both sides.
    """
    grpo = train.grpo
    groups_per_step = math.ceil(train.prompts_per_update / grpo.steps_per_generation)
    return GRPOConfig(
        **grpo.model_dump(),
        output_dir=output_dir,
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
        gradient_checkpointing=False,  # recomputing would miss shared_prompt_attention
    )
