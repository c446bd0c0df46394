"""The section ``prepare``: the sources and the numbers of prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from recap.params.values import Count, Section, Share

LoaderName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
"""recap/data/sources/registry.py lists the valid names."""


class Mixture(Section):
    """Parts of each domain in the training prompts (paper: 1 : 1 : 3)."""

    harmful: Annotated[int, Field(ge=0)]
    benign: Annotated[int, Field(ge=0)]
    math: Annotated[int, Field(ge=0)]


class Prepare(Section):
    """The sources and the numbers of prompts.

    ``sources`` maps a loader's name to a local directory in the hub's schema, or to a data set of
    the hub pinned to a commit, ``org/name@<commit>`` (``null`` for the microworld, which generates
    its rows).
    """

    sources: dict[LoaderName, Path | None] = Field(min_length=1)
    mixture: Mixture
    train_prompts: Count
    eval_prompts: Count
    max_quarantined: Share
    max_words: Count

    @model_validator(mode="after")
    def _directories(self) -> Prepare:
        for name, directory in self.sources.items():
            if (directory is None) != (name == "microworld"):
                wanted = "null" if name == "microworld" else "a directory"
                raise ValueError(f"prepare.sources.{name} takes {wanted}, got {directory}")
        if self.mixture.harmful + self.mixture.benign + self.mixture.math == 0:
            raise ValueError("prepare.mixture needs at least one domain above 0")
        return self
