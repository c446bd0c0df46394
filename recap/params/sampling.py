"""The section ``sampling``: the generation engine outside training."""

from __future__ import annotations

from typing import Literal

from recap.params.values import Count, Section

Engine = Literal["torch", "vllm"]


class Sampling(Section):
    """The generation engine outside training."""

    engine: Engine
    batch_size: Count
