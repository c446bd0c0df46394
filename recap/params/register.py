"""The section ``register``: the model's name in the registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recap.params.values import Section


class Register(Section):
    """The registered model's name in MLflow."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
