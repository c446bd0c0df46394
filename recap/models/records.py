"""The records of the models that a run took from elsewhere."""

from __future__ import annotations

from pathlib import Path

from recap.params.matrix import Matrix
from recap.rows import read_json
from recap.types.origins import PROVENANCE, RUBRIC_FOLDER, Provenance

NO_LICENCE = "none stated"
"""What readers are told of a data set or a model without a licence."""


def origins_taken(models: Path, matrix: Matrix) -> dict[str, Provenance]:
    """The origin of each model in the folder ``models`` that was not made here, by its name."""
    folders = {str(name): str(name) for name in (*matrix.models, *matrix.sources)}
    records = {
        name: models / folder / PROVENANCE
        for name, folder in {**folders, "rubric": f"guardian/{RUBRIC_FOLDER}"}.items()
    }
    return {name: read_json(at, Provenance) for name, at in records.items() if at.is_file()}
