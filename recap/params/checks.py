"""What only the whole pipeline asks of ``params.yaml``: its matrix is complete, its gate has cells.

A folder where single stages are tried or measured may hold less, so reading the file does not ask.
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
"""Members of the matrix whose outputs other stages of dvc.yaml name."""


def check_pipeline(params: Params) -> None:
    """Raise ParameterError for what would stop the pipeline only after its training."""
    for axis, needed in NEEDED.items():
        missing = set(needed) - set(getattr(params.matrix, axis))
        if missing:
            raise ParameterError(
                f"Expected matrix.{axis} to name {choices(needed).replace(' or ', ' and ')}, since "
                f"later stages need each of them; missing: {', '.join(sorted(missing))}."
            )
    check_gate(params.gate, params.matrix, params.attack)


def check_gate(gate: Gate, matrix: Matrix, attack: Attack) -> None:
    """Raise ParameterError unless the gate's cells are made, and its benchmarks are measured."""
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
