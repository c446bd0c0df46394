"""The base type of rows, and the types that all rows share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Domain = Literal["harmful", "benign", "math"]
Label = Literal["safe", "unsafe", "helpful", "unclear", "refused", "correct", "incorrect"]
SUCCESS: dict[Domain, Label] = {"harmful": "safe", "benign": "helpful", "math": "correct"}
"""The label that counts as success in each domain; a rate is its share."""


class Row(BaseModel):
    """A row that is written to or read from a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
