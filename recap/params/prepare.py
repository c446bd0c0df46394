"""The section ``prepare``: where prompts come from and how many are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from recap.params.values import Count, Section, Share

LoaderName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
"""Which there are is for recap/data/sources/registry.py to say, as with benchmarks."""


class Mixture(Section):
    """Parts of each domain in the training prompts (paper: 1 : 1 : 3)."""

    harmful: Annotated[int, Field(ge=0)]
    benign: Annotated[int, Field(ge=0)]
    math: Annotated[int, Field(ge=0)]


class Prepare(Section):
    """Where prompts come from and how many are kept.

    ``sources`` maps a loader's name to a local directory in the hub's schema (``null`` for the
    microworld, which makes its own rows).
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
