"""The section ``matrix``: the members of each matrix stage."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from recap.params.models import ModelName
from recap.params.values import Section, check_once
from recap.types.sources import Source

Table = Literal["prompts", "prefills", "verdicts"]
TABLES: tuple[Table, ...] = get_args(Table)


class Matrix(Section):
    """The members of each matrix stage."""

    models: tuple[ModelName, ...]
    sources: tuple[Source, ...]
    tables: tuple[Table, ...]
    variants: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        check_once(value, "seed")
        return value
