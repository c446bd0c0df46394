"""The whole of ``params.yaml``. A stage reads all of it and depends on the sections it uses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from recap.errors import ParameterError, choices
from recap.params.attack import Attack
from recap.params.document import read_document
from recap.params.dynamics import Dynamics
from recap.params.evaluate import Evaluate
from recap.params.faults import faults
from recap.params.gate import Gate
from recap.params.judge import Judge
from recap.params.matrix import Matrix
from recap.params.models import Models
from recap.params.prefill import Prefilling
from recap.params.prepare import Prepare
from recap.params.register import Register
from recap.params.report import Report
from recap.params.sampling import Sampling
from recap.params.sources import Sources
from recap.params.train import Train, overlay
from recap.params.validate import Validate
from recap.params.values import Section, strictly
from recap.params.world import World


class Params(Section):
    """The whole of ``params.yaml``."""

    seed: Annotated[int, Field(ge=0)]
    matrix: Matrix
    variants: dict[str, dict[str, Any]]
    world: World
    sampling: Sampling
    models: Models
    sources: Sources
    prepare: Prepare
    validation: Validate = Field(alias="validate")
    prefill: Prefilling
    train: Train
    attack: Attack
    dynamics: Dynamics
    judge: Judge
    evaluate: Evaluate
    report: Report
    gate: Gate
    registration: Register = Field(alias="register")
    sweep: dict[str, Any] = Field(default_factory=dict)
    """recap/sweeps checks this section. Every stage depends on this package, but none reads it."""

    @model_validator(mode="after")
    def _names(self) -> Params:
        named = [("matrix.variants", name) for name in self.matrix.variants]
        named += [("gate.candidate", self.gate.candidate), ("gate.baseline", self.gate.baseline)]
        for key, name in named:
            if name not in self.variants:
                raise ValueError(
                    f"{key}: unknown variant '{name}': `variants` defines {choices(self.variants)}"
                )
        if self.attack.selector == self.judge.judge:
            raise ValueError(
                "attack.selector must be another than judge.judge, or the search would optimise "
                f"what measures it; got {self.attack.selector} for both (attack.selector: null "
                "searches nothing)"
            )
        for name in self.variants:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise ValueError(
                    f"variants: a name has letters, digits, _ and -, since files and stages are "
                    f"called by it; got '{name}'"
                )
            try:
                self.for_variant(name)
            except ValidationError as error:
                key, said = faults(error, Train)[0]
                raise ValueError(f"variants.{name}{'.' if key else ''}{key}: {said}") from None
        return self

    @model_validator(mode="after")
    def _warm(self) -> Params:
        """Sources that are fine-tuned on traces: who has them, and enough for two halves."""
        warm = self.models.warm_start
        for name, counts in self.sources.traces.items():
            if warm is None:
                raise ValueError(
                    f"sources.traces.{name} needs models.warm_start, which makes the traces"
                )
            if name in self.sources.origins:
                raise ValueError(
                    f"sources.traces.{name} and sources.origins.{name} name two ways to make one "
                    "source; take one out"
                )
            for trace_set, wanted in counts.items():
                half = warm.traces.get(trace_set, 0) // 2
                if wanted > half:
                    raise ValueError(
                        f"sources.traces.{name}.{trace_set} takes at most half of "
                        f"models.warm_start.traces.{trace_set}, {half}, since training's and "
                        f"evaluation's sources share no trace; got {wanted}"
                    )
        return self

    def for_variant(self, name: str) -> Train:
        """The ``train`` section, overridden by the variant's values."""
        if name not in self.variants:
            raise ParameterError(
                f"Expected a variant among {choices(self.variants)}, got '{name}'. "
                "Define it under `variants` in params.yaml."
            )
        merged = overlay(self.train.model_dump(), self.variants[name])
        return strictly(Train, merged)


def read_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check the parameter file.

    Raises ParameterError with each wrong key, the expected and the given value.
    """
    values = read_document(path)
    try:
        return strictly(Params, values)
    except ValidationError as error:
        lines = [f"  {key}{': ' if key else ''}{said}" for key, said in faults(error, Params)]
        raise ParameterError(
            f"{path} has parameters that do not fit:\n" + "\n".join(lines)
        ) from None
