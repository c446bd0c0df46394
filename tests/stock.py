"""Stock TRL, the oracle of our loss, without vLLM and MLflow, which it would import unused."""

from __future__ import annotations

import os

import trl.import_utils as trl_imports

os.environ.setdefault("DISABLE_MLFLOW_INTEGRATION", "TRUE")
_is_vllm_available = trl_imports.is_vllm_available
trl_imports.is_vllm_available = lambda min_version=None: False
from trl.trainer.grpo_trainer import GRPOTrainer  # noqa: E402  # after the answer it asks for

trl_imports.is_vllm_available = _is_vllm_available

__all__ = ["GRPOTrainer"]
