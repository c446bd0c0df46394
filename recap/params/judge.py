"""The section ``judge``: the judges of the evaluation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from recap.params.values import Count, Positive, Section

JudgeName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
"""recap/judges/registry.py lists the valid names."""
TokenParameter = Literal["max_tokens", "max_completion_tokens"]


class JudgeApi(Section):
    """The server of the judge ``api``, with OpenAI's chat completions API.

    ``base_url`` ends before ``/chat/completions``. ``hosts`` lists hosts other than this machine
    that may be asked, only over https. ``revision`` is the model's revision, for the record.
    ``key`` names the environment variable with the server's key (``null``: none). After ``breaker``
    failed questions in a row the judge stops. ``token_parameter`` is the server's name for
    ``max_tokens``. ``temperature: null`` sends none, for models with a fixed temperature. Prices
    are per million tokens (``null``: unknown).
    """

    base_url: str
    hosts: tuple[str, ...]
    model: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(min_length=1)]
    key: str | None
    concurrency: Annotated[int, Field(ge=1, le=256)]
    timeout_s: Positive
    attempts: Count
    breaker: Count
    max_tokens: Count
    token_parameter: TokenParameter
    temperature: Annotated[float, Field(ge=0.0)] | None
    prompt_price: Annotated[float, Field(ge=0.0)] | None
    completion_price: Annotated[float, Field(ge=0.0)] | None

    @field_validator("base_url")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", value):
            raise ValueError(  # not the value, which may hold a password
                "takes http:// or https://, host and path, without user, password or query"
            )
        return value

    @field_validator("key")
    @classmethod
    def _name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Z][A-Z0-9_]*", value):
            raise ValueError(  # not the value, which may be the key itself
                "takes the name of an environment variable in capitals, never the key"
            )
        return value


class Judge(Section):
    """The judge of the evaluation, and a second judge for comparison (``null``: none).

    ``rubric``: directory of the instruct model that judges benign answers (``null``: the guardian),
    and answers to prompts with a rubric of their own (``null``: ``api`` alone asks that).
    ``thoughts``: the judge reads the generated part of each thought too, by itself.
    """

    judge: JudgeName
    second: JudgeName | None
    rubric: Path | None
    thoughts: bool = False
    api: JudgeApi

    @model_validator(mode="after")
    def _two(self) -> Judge:
        if self.second == self.judge:
            raise ValueError(
                f"judge.second has to be another judge than judge.judge, or null for none: a judge "
                f"agrees with itself; got {self.judge} for both"
            )
        return self
