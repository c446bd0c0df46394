"""The licences of what a version was made from: data sets, and models that were not made here."""

from __future__ import annotations

import json
from pathlib import Path

from recap.data.sources.registry import LOADERS
from recap.params.whole import Params
from recap.rows import read_json
from recap.types.origins import PROVENANCE, RUBRIC_FOLDER, Provenance

LICENCES = "licences"
"""The tag of runs and versions."""
UNKNOWN = "none stated"


def licence_tag(root: Path, params: Params) -> dict[str, str]:
    """The tag: ``{"data gsm8k": "MIT", "model policy": "apache-2.0"}`` as JSON."""
    found = {
        f"data {name}": LOADERS[name].licence or UNKNOWN for name in sorted(params.prepare.sources)
    }
    made = {str(name): name for name in (*params.matrix.models, *params.matrix.sources)}
    for name, folder in {**made, "rubric": f"guardian/{RUBRIC_FOLDER}"}.items():
        record = root / "models" / folder / PROVENANCE
        if record.is_file():
            found[f"model {name}"] = read_json(record, Provenance).licence or UNKNOWN
    return {LICENCES: json.dumps(found)}
