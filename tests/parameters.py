"""The project's own parameters with some of them changed, in a folder of a test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


def write_params(folder: Path, changes: Mapping[str, Any]) -> Path:
    """Write ``params.yaml`` with ``{"train.alpha": 0.25}`` laid over it; its path."""
    values = yaml.load((ROOT / "params.yaml").read_bytes(), yaml.CSafeLoader)
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        place = values
        for key in path:
            place = place[key]
        place[last] = value
    file = folder / "params.yaml"
    file.write_text(yaml.dump(values, Dumper=yaml.CSafeDumper), encoding="utf-8")
    return file
