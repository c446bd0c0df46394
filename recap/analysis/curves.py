"""Reads the files of two curves: training metrics by update, results by world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from recap.errors import DataError
from recap.types.row import Row

UPDATE = "update"


class WorldPoint(Row):
    """The result of one policy in the world of a seed, whose base turns round this often."""

    turn_in_response: float
    seed: int
    world: str
    variant: str
    benchmark: str
    value: float | None
    n: int


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """One object per update; raises DataError with the line at fault."""
    if not path.is_file():
        raise DataError(f"Expected the training metrics {path}, found none. Run the train stage.")
    updates = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            update = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{number}: expected a JSON object, but {error}.") from None
        if not isinstance(update, dict) or UPDATE not in update:
            raise DataError(f"{path}:{number}: expected a JSON object with the key '{UPDATE}'.")
        updates.append(update)
    return updates


def read_worlds(path: Path) -> list[WorldPoint]:
    """The measured worlds; raises DataError when it is missing or does not fit."""
    if not path.is_file():
        raise DataError(f"Expected the measured worlds {path}, found none. Leave out --worlds.")
    try:
        return TypeAdapter(list[WorldPoint]).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{path}: expected a list of points, but {where}: {first['msg']}."
        ) from None
