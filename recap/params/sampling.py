"""The section ``sampling``: which engine generates outside training."""

from __future__ import annotations

from typing import Literal

from recap.params.values import Count, Section

Engine = Literal["torch", "vllm"]


class Sampling(Section):
    """Which engine generates outside training."""

    engine: Engine
    batch_size: Count
