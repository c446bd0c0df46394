"""What only the whole pipeline asks of ``params.yaml``: its matrix is complete, its gate has cells.

A folder where single stages are tried or measured may hold less, so reading the file does not ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from recap.errors import ParameterError, choices
from recap.params.sections import Gate, Matrix
from recap.params.values import ModelName, Source, Table

if TYPE_CHECKING:
    from recap.params import Params

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
    check_gate(params.gate, params.matrix)


def check_gate(gate: Gate, matrix: Matrix) -> None:
    """Raise ParameterError unless the gate's two cells are made and are two."""
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
