"""What tests of vLLM need: the package, and on a CPU a path that its compiler can name."""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch

MISSING = importlib.util.find_spec("vllm") is None and "CI" not in os.environ
BLANK = len(torch.__file__.split()) > 1 and not torch.cuda.is_available()
NEEDS_VLLM = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.skipif(MISSING, reason="vLLM is not installed"),
    pytest.mark.skipif(BLANK, reason="vLLM's CPU build compiles nothing below a path with a blank"),
]
"""Skipped only where vLLM is missing and no CI runs: in CI a missing vLLM is a failure."""
