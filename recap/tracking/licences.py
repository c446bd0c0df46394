"""The licences of what a version was made from: data sets, and models that were not made here."""

from __future__ import annotations

from pathlib import Path

from recap.data.sources.registry import LOADERS
from recap.params.whole import Params
from recap.rows import read_json
from recap.types.origins import PROVENANCE, RUBRIC_FOLDER, Provenance

LICENCE = "licence."
"""Beginning of the tags of runs and versions that hold one licence each."""
UNKNOWN = "none stated"


def licence_tags(root: Path, params: Params) -> dict[str, str]:
    """A tag for each: ``licence.data.gsm8k`` is ``MIT``."""
    found = {
        f"{LICENCE}data.{name}": LOADERS[name].licence or UNKNOWN
        for name in sorted(params.prepare.sources)
    }
    made = {str(name): name for name in (*params.matrix.models, *params.matrix.sources)}
    for name, folder in {**made, "rubric": f"guardian/{RUBRIC_FOLDER}"}.items():
        record = root / "models" / folder / PROVENANCE
        if record.is_file():
            found[f"{LICENCE}model.{name}"] = read_json(record, Provenance).licence or UNKNOWN
    return found
