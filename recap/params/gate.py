"""The section ``gate``: the variants to compare, and the conditions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recap.params.attack import BenchmarkName
from recap.params.values import Count, Section, Share


class Check(Section):
    """One condition of the gate on one benchmark, at its last round unless ``place`` names one.

    ``floor``: the rate's interval lies at or above ``floor``. ``non_inferior``: the interval of the
    paired difference to ``against`` lies above minus the margin. ``superior``: that interval lies
    above 0. The gate gives the defaults of ``margin`` and ``against``.
    """

    benchmark: BenchmarkName
    kind: Literal["floor", "non_inferior", "superior"]
    floor: Share | None = None
    margin: Share | None = None
    place: Count | None = None
    against: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> Check:
        if (self.kind == "floor") != (self.floor is not None):
            wanted = "a `floor`" if self.kind == "floor" else "no `floor`"
            raise ValueError(
                f"a check of kind {self.kind} on {self.benchmark} takes {wanted}, got {self.floor}"
            )
        if self.kind == "floor" and self.against:
            raise ValueError(
                f"a floor compares with nobody: against {self.against} on {self.benchmark} takes "
                "the kind non_inferior or superior"
            )
        return self


class Gate(Section):
    """The variants to compare, and the conditions.

    ``margin``: the largest loss that counts as non-inferior, for checks without their own margin,
    and in promotion, which compares with the champion on every gated benchmark. A check needs at
    least ``min_rows`` scored rows, or pairs.
    """

    candidate: str
    baseline: str
    seed: Annotated[int, Field(ge=0)]
    margin: Annotated[float, Field(gt=0.0, lt=1.0)]
    min_rows: Count
    checks: tuple[Check, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_once(self) -> Gate:
        said = [
            (check.benchmark, check.kind, check.place, check.against or self.baseline)
            for check in self.checks
        ]
        for check in said:
            if said.count(check) > 1:
                raise ValueError(
                    f"checks name each condition once, got {check[1]} on {check[0]} twice"
                )
        return self

    def margin_of(self, check: Check) -> float:
        """The check's margin, or the gate's."""
        return self.margin if check.margin is None else check.margin
