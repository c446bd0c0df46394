"""The files that make a version an MLflow model: MLmodel with its signature, and an input example.

They name the module that loads it (recap/tracking/policy.py) and hold no weights and no pickle.
Leaves out the loading.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recap.rows import write_json
from recap.tracking.manifest import Provenance

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

MLMODEL, EXAMPLE = "MLmodel", "input_example.json"
LOADER = "recap.tracking.policy"
PROMPT, PREFILL = "prompt", "prefill"
"""Columns of the input; a row without a prefill leaves the second empty."""
THOUGHT, RESPONSE = "thought", "response"
"""Columns of the output."""


def write_mlmodel(folder: Path, provenance: Provenance) -> None:
    """Write both files; sampling is by default as in the section ``attack`` of ``provenance``."""
    from mlflow.models import Model

    model = Model(
        flavors={
            "python_function": {
                "loader_module": LOADER,
                "python_version": platform.python_version(),
            }
        },
        signature=_signature(provenance.params),
        saved_input_example_info={
            "artifact_path": EXAMPLE,
            "type": "dataframe",
            "pandas_orient": "split",
        },
    )
    model.save(str(folder / MLMODEL))
    row = ["what is this ?", "let us see ."]
    write_json(folder / EXAMPLE, {"columns": [PROMPT, PREFILL], "data": [row]})


def _signature(params: Mapping[str, str]) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    text = DataType.string
    options = [
        ParamSpec("temperature", DataType.double, float(params.get("attack.temperature", 1.0))),
        ParamSpec("top_p", DataType.double, float(params.get("attack.top_p", 1.0))),
        ParamSpec("max_tokens", DataType.long, int(params.get("attack.max_tokens", 512))),
        ParamSpec("seed", DataType.long, 0),
    ]
    return ModelSignature(
        inputs=Schema([ColSpec(text, PROMPT), ColSpec(text, PREFILL, required=False)]),
        outputs=Schema([ColSpec(text, THOUGHT), ColSpec(text, RESPONSE, required=False)]),
        params=ParamSchema(options),
    )
