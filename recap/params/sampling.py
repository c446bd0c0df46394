"""The section ``sampling``: the generation engine outside training."""

from __future__ import annotations

from typing import Literal

from recap.params.values import Count, Section

Engine = Literal["torch", "vllm", "server"]


class Servers(Section):
    """vLLM servers of the engine ``server``: their number, and the GPUs that each is spread over.

    A stage starts its servers on this machine and ends them with itself. ``elsewhere``: it finds
    them instead, where the environment variable RECAP_SERVERS says (docs/operations.md, Servers).
    """

    count: Count
    tensor_parallel: Count
    elsewhere: bool = False


class Sampling(Section):
    """The generation engine outside training."""

    engine: Engine
    servers: Servers
    batch_size: Count
