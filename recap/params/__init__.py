"""Every knob, typed: ``params.yaml`` as frozen models, one class per section.

Unknown keys and impossible values are refused with one message naming the key, what was expected
and what came. Nothing here imports torch or MLflow.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError, model_validator

from recap.errors import ParameterError, choices
from recap.params.document import read_document
from recap.params.faults import faults
from recap.params.sections import (
    Attack,
    Check,
    Dynamics,
    Evaluate,
    Gate,
    Judge,
    JudgeApi,
    Matrix,
    Mixture,
    Models,
    OwnDecoding,
    Prefilling,
    Prepare,
    Pretraining,
    Register,
    Report,
    Sampling,
    Sources,
    Validate,
    World,
)
from recap.params.training import (
    Train,
)
from recap.params.values import (
    EVAL_SOURCES,
    TABLES,
    TRAIN_SOURCES,
    Aggregation,
    AlphaMode,
    BenchmarkName,
    LoaderName,
    ModelName,
    PrefillSource,
    PrefillUnit,
    Section,
    Source,
    Subset,
)
from recap.params.whole import check_gate, check_pipeline

__all__ = [
    "EVAL_SOURCES",
    "TABLES",
    "TRAIN_SOURCES",
    "Aggregation",
    "AlphaMode",
    "Attack",
    "BenchmarkName",
    "Check",
    "Dynamics",
    "Evaluate",
    "Gate",
    "Judge",
    "JudgeApi",
    "LoaderName",
    "Matrix",
    "Mixture",
    "ModelName",
    "Models",
    "OwnDecoding",
    "Params",
    "PrefillSource",
    "PrefillUnit",
    "Prefilling",
    "Prepare",
    "Pretraining",
    "Sampling",
    "Source",
    "Subset",
    "Train",
    "Validate",
    "World",
    "check_gate",
    "check_pipeline",
    "derive_seed",
    "read_params",
]


Checked = TypeVar("Checked", bound=Section)


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
    """For recap/sweeps to check: every stage depends on this package, and none reads it."""

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

    def for_variant(self, name: str) -> Train:
        """The ``train`` section with the variant's own values laid over it."""
        if name not in self.variants:
            raise ParameterError(
                f"Expected a variant among {choices(self.variants)}, got '{name}'. "
                "Define it under `variants` in params.yaml."
            )
        merged = _overlay(self.train.model_dump(), self.variants[name])
        return _strictly(Train, merged)


def _strictly(kind: type[Checked], values: Any) -> Checked:
    """Plain values as a section, where ``true`` and ``"80"`` are no numbers.

    By way of JSON: from Python values pydantic's strictness would refuse lists and paths as well.
    """
    return kind.model_validate_json(json.dumps(values, default=str), strict=True)


def _overlay(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlay(merged[key], value) if nested else value
    return merged


def read_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check the parameter file.

    Raises ParameterError naming each key at fault, what was expected and what came.
    """
    values = read_document(path)
    try:
        return _strictly(Params, values)
    except ValidationError as error:
        lines = [f"  {key}{': ' if key else ''}{said}" for key, said in faults(error, Params)]
        raise ParameterError(
            f"{path} has parameters that do not fit:\n" + "\n".join(lines)
        ) from None


def derive_seed(seed: int, *names: str | int) -> int:
    """A seed below 2**31 for one use, e.g. ``derive_seed(params.seed, "train", "recap", 0)``.

    Stable across machines and Python versions; different names give unrelated seeds.
    """
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
