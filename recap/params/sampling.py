"""The section ``sampling``: the generation engine outside training."""

from __future__ import annotations

from typing import Literal

from recap.params.values import Count, Section

Engine = Literal["torch", "vllm"]


class Sampling(Section):
    """The generation engine outside training."""

    engine: Engine
    batch_size: Count


def vllm_fault(temperature: float, top_p: float) -> str | None:
    """Why the engine vllm refuses a decoding, as ``expected …, got …``; ``None`` if it does not.

    It gives log-probabilities either before the temperature or after top-p, never between.
    """
    if temperature == 1.0 or top_p == 1.0:
        return None
    return (
        f"expected temperature 1 or top_p 1 with the engine vllm, got {temperature} and {top_p}. "
        "Change one of them or set sampling.engine to torch"
    )
