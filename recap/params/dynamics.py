"""The section ``dynamics``: what the snapshots of training are attacked with."""

from __future__ import annotations

from pydantic import Field

from recap.params.attack import BenchmarkName
from recap.params.values import Count, Section


class Dynamics(Section):
    """What the policy's snapshots are attacked with; decoding and judge are the evaluation's."""

    prompts: Count
    benchmarks: tuple[BenchmarkName, ...] = Field(min_length=1)
