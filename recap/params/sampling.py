"""The section ``sampling``: the generation engine outside training."""

from __future__ import annotations

from typing import Literal

from recap.params.values import Count, Section

Engine = Literal["torch", "vllm", "server"]


class Servers(Section):
    """vLLM servers of the engine ``server``: their number, and the GPUs that each is spread over.

    A stage starts its servers on this machine and ends them with itself.
    """

    count: Count
    tensor_parallel: Count


class Sampling(Section):
    """The generation engine outside training."""

    engine: Engine
    servers: Servers
    batch_size: Count


def vllm_fault(temperature: float, top_p: float) -> str | None:
    """Why vLLM refuses a decoding, as ``expected …, got …``; ``None`` if it does not.

    It gives log-probabilities either before the temperature or after top-p, never between.
    """
    if temperature == 1.0 or top_p == 1.0:
        return None
    return (
        f"expected temperature 1 or top_p 1 with vLLM, got {temperature} and {top_p}. "
        "Change one of them or set sampling.engine to torch"
    )
