"""Checks of ``params.yaml`` for the whole pipeline: a complete matrix, and cells for the gate.

Reading the file does not make these checks, because a folder for single stages may hold less.
"""

from __future__ import annotations

from typing import get_args

from recap.errors import ParameterError, choices
from recap.params.attack import Attack
from recap.params.gate import Check, Gate
from recap.params.matrix import Matrix, Table
from recap.params.models import ModelName
from recap.params.whole import Params
from recap.types.sources import Source

NEEDED = {"models": get_args(ModelName), "sources": get_args(Source), "tables": get_args(Table)}
"""Members of the matrix whose outputs are dependencies of other stages in dvc.yaml."""


def check_pipeline(params: Params) -> None:
    """Raise ParameterError for a fault that would otherwise stop the pipeline after training."""
    for axis, needed in NEEDED.items():
        missing = set(needed) - set(getattr(params.matrix, axis))
        if missing:
            raise ParameterError(
                f"Expected matrix.{axis} to name {choices(needed).replace(' or ', ' and ')}, since "
                f"later stages need each of them; missing: {', '.join(sorted(missing))}."
            )
    _check_languages(params)
    check_gate(params.gate, params.matrix, params.attack)


def _check_languages(params: Params) -> None:
    """Raise ParameterError for a model that would speak the microworld's words about real text."""
    if "microworld" in params.prepare.sources:
        return
    made = [
        f"models.origins.{name}"
        for name in params.matrix.models
        if name not in params.models.origins
    ]
    made += [
        f"sources.origins.{name}"
        for name in params.matrix.sources
        if name not in params.sources.origins and name not in params.sources.traces
    ]
    if made:
        raise ParameterError(
            "Expected models that know real text, since prepare.sources has no microworld, got no "
            f"{choices(made)}: what has no origin is trained on the microworld's few hundred words."
            " Name their origins, or give sources traces (sources.traces, docs/models.md)."
        )


def check_gate(gate: Gate, matrix: Matrix, attack: Attack) -> None:
    """Raise ParameterError unless the matrix has the gate's cells, and attack its benchmarks."""
    for key, variant in (("candidate", gate.candidate), ("baseline", gate.baseline)):
        if variant not in matrix.variants:
            raise ParameterError(
                f"Expected gate.{key} among matrix.variants ({choices(matrix.variants)}), got "
                f"'{variant}'. Add it to matrix.variants or name another one."
            )
    if gate.seed not in matrix.seeds:
        raise ParameterError(
            f"Expected gate.seed among matrix.seeds ({choices(map(str, matrix.seeds))}), got "
            f"{gate.seed}. Add it to matrix.seeds or choose another one."
        )
    if gate.candidate == gate.baseline:
        raise ParameterError(
            f"Expected two variants in gate.candidate and gate.baseline, got '{gate.candidate}' "
            "twice. Name another baseline."
        )
    for place, check in enumerate(gate.checks):
        _check_check(f"gate.checks.{place}", check, gate, matrix, attack)


def _check_check(key: str, check: Check, gate: Gate, matrix: Matrix, attack: Attack) -> None:
    if check.benchmark not in attack.benchmarks:
        raise ParameterError(
            f"Expected {key}.benchmark among attack.benchmarks ({choices(attack.benchmarks)}), got "
            f"'{check.benchmark}', which is not measured. Add it to attack.benchmarks or take the "
            "check out."
        )
    others = set(matrix.variants) - {gate.candidate}
    if check.against is not None and check.against not in others:
        raise ParameterError(
            f"Expected {key}.against among matrix.variants but for the candidate "
            f"({choices(others)}), got '{check.against}'. Add it to matrix.variants or name "
            "another one."
        )
