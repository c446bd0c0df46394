"""The section ``sources``: the origin of the prefill sources."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import Field, model_validator

from recap.params.models import Pretraining, TraceCounts
from recap.types.sources import EVAL_SOURCES, TRAIN_SOURCES, Source


class Sources(Pretraining):
    """The origin of the prefill sources.

    ``origins`` as in ``models``. Sources without an origin are fine-tuned from the base policy:
    those in ``traces`` on so many traces of each set of ``models.warm_start``, the others on the
    microworld's documents.
    """

    origins: dict[Source, Annotated[str, Field(min_length=1)]]
    traces: dict[Source, TraceCounts]

    @model_validator(mode="after")
    def _separate(self) -> Sources:
        """Refuses the same model under two names, also through a link."""
        for name in EVAL_SOURCES:
            for other in TRAIN_SOURCES:
                if self._places(name) & self._places(other):
                    raise ValueError(
                        f"sources.origins.{name} is evaluation's and must be another model than "
                        f"training's {other}, got {self._said(name)} and {self._said(other)}"
                    )
        return self

    def _places(self, name: str) -> set[str]:
        """The places of a source's weights: its own folder, and its origin."""
        return {os.path.realpath(place) for place in (f"models/{name}", self._said(name))}

    def _said(self, name: str) -> str:
        origins: dict[str, str] = dict(self.origins.items())
        return origins.get(name, f"models/{name}")
