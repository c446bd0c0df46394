"""The section ``dynamics``: the benchmarks for training's snapshots."""

from __future__ import annotations

from pydantic import Field

from recap.params.attack import BenchmarkName
from recap.params.values import Count, Section


class Dynamics(Section):
    """The benchmarks for the policy's snapshots; decoding and judge are those of the evaluation."""

    prompts: Count
    benchmarks: tuple[BenchmarkName, ...] = Field(min_length=1)
