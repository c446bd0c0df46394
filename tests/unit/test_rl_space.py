"""The disk that a training asks for: by its parameters, whatever the files of its base hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from recap.models.weights import save_model
from recap.rl.space import bytes_needed
from tests.golden.rl_cases import train_section
from tests.tiny import TOKENIZER, tiny_policy

WHOLE, LORA = 34848, 1792
"""Parameters of the tiny policy, and of an adapter of rank 4 on three of its layers."""
ADAPTER = {"rank": 4, "alpha": 8, "targets": ["q_proj", "v_proj", "down_proj"]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # three states of weights and two moments in fp32, and the result
        ({"updates": 2, "snapshot_updates": 2}, 3 * 3 * 4 * WHOLE + 4 * WHOLE),
        # snapshots after updates 2 and 4, twice each
        ({"updates": 5, "snapshot_updates": 2}, 3 * 3 * 4 * WHOLE + 4 * WHOLE * 5),
        ({"updates": 2, "adapter": ADAPTER}, 3 * 3 * 4 * LORA + 4 * WHOLE),
        (
            {"updates": 2, "adapter": ADAPTER, "precision": "bfloat16"},
            3 * 3 * 4 * LORA + 2 * WHOLE,
        ),
    ],
)
def test_the_bytes_of_a_training(
    dtype: torch.dtype, changes: dict[str, Any], expected: int, tmp_path: Path
) -> None:
    save_model(tiny_policy().to(dtype), TOKENIZER, tmp_path / "policy")
    assert bytes_needed(tmp_path / "policy", train_section(**changes)) == expected
