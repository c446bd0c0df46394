"""Base types of the sections: bounded numbers, no unknown key, no duplicate name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
Precision = Literal["float32", "bfloat16"]


class Section(BaseModel):
    """Base of all sections: no unknown key, no infinite number, no duplicate in a list."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _once(cls, value: Any) -> Any:
        if isinstance(value, tuple) and all(isinstance(name, str) for name in value):
            check_once(value, "name")
        return value


def check_once(values: Sequence[object], noun: str) -> None:
    """Raise ValueError if a value occurs twice."""
    twice = [value for value in dict.fromkeys(values) if values.count(value) > 1]
    if twice:
        listed = ", ".join(map(str, twice))
        raise ValueError(f"takes each {noun} once, got {listed} more than once")


Checked = TypeVar("Checked", bound=Section)


def strictly(kind: type[Checked], values: Any) -> Checked:
    """Plain values as a section, in which ``true`` and ``"80"`` are not numbers.

    It reads JSON, because from Python values a strict pydantic also refuses lists and paths.
    """
    return kind.model_validate_json(json.dumps(values, default=str), strict=True)
