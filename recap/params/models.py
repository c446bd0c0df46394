"""The section ``models``: the origin of policy and guardian."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from recap.params.values import Count, Positive, Section
from recap.types.traces import TraceSet

ModelName = Literal["policy", "guardian"]
OriginName = Literal["policy", "guardian", "rubric"]


class Fitting(Section):
    """One supervised training: ``updates`` steps of about ``batch_tokens`` tokens, by AdamW."""

    updates: Count
    batch_tokens: Count
    learning_rate: Positive


class Pretraining(Fitting):
    """One supervised training from scratch; batches are packed.

    ``muon_learning_rate`` is for the layers' matrices, ``learning_rate`` (AdamW) for the rest.
    """

    muon_learning_rate: Positive


TraceCounts = dict[TraceSet, Count]


class WarmStart(Fitting):
    """Supervised training that teaches the policy's origin to think (docs/models.md).

    ``data``: folders of the data sets. ``traces``: how many of each set there are, for the policy
    and for ``sources.traces``. ``policy``: how many of them the policy trains on. ``longest``: the
    tokens of a trace; longer ones are left out. ``sentences``: how many a thought and an answer
    keep, of GSM8K all.
    """

    data: dict[Literal["gsm8k", "star1", "benign"], Path]
    traces: TraceCounts
    policy: Annotated[TraceCounts, Field(min_length=1)]
    longest: Annotated[int, Field(ge=64)]
    sentences: Count

    @property
    def stars(self) -> bool:
        """Whether STAR-1 is read."""
        return bool({"star1", "own_harmful"} & set(self.traces))

    @model_validator(mode="after")
    def _enough(self) -> WarmStart:
        for name, wanted in self.policy.items():
            if wanted > self.traces.get(name, 0):
                raise ValueError(
                    f"policy.{name} takes at most traces.{name}, which is "
                    f"{self.traces.get(name, 0)}; got {wanted}"
                )
        needed = {"own_harmful": "star1", "own_benign": "benign"}
        for name in self.traces:
            data = needed.get(name, name)
            if data not in self.data:
                raise ValueError(f"data has to name a folder of {data}, which traces.{name} reads")
        return self


Tag = Annotated[str, Field(pattern=r"^\S(.*\S)?$")]


class Reasoning(Section):
    """The tags between which policy and sources think, of any number of tokens each."""

    open: Tag
    close: Tag

    @model_validator(mode="after")
    def _apart(self) -> Reasoning:
        if self.open in self.close or self.close in self.open:
            raise ValueError(f"no tag may be a part of the other, got {self.open} and {self.close}")
        return self


THINK = Reasoning(open="<think>", close="</think>")
"""The tags of most models that reason, the microworld's among them."""


class Models(Section):
    """The origin of policy and guardian, and how the policy and its sources mark a thought.

    ``origins``: a local folder, a GGUF file, a hub model pinned to a commit, or ``rules`` in place
    of a guardian (docs/models.md). ``rubric`` reads benign answers in place of the guardian, in its
    directory. ``warm_start`` trains the policy's origin before it is used.
    Models without an origin are trained from scratch, with the Llama architecture below.
    """

    origins: dict[OriginName, Annotated[str, Field(min_length=1)]]
    hidden_size: Count
    num_layers: Count
    num_heads: Count
    context: Annotated[int, Field(ge=64)]
    policy: Pretraining
    guardian: Pretraining
    reasoning: Reasoning
    warm_start: WarmStart | None

    @model_validator(mode="after")
    def _tags(self) -> Models:
        if self.reasoning != THINK and "policy" not in self.origins:
            raise ValueError(
                f"reasoning belongs to a policy of models.origins; the one trained from scratch "
                f"has {THINK.open} and {THINK.close}, got {self.reasoning.open} and "
                f"{self.reasoning.close}"
            )
        return self

    @model_validator(mode="after")
    def _rubric(self) -> Models:
        if "rubric" in self.origins and "guardian" not in self.origins:
            raise ValueError(
                "origins.rubric reads benign answers beside a guardian of models.origins; the one "
                "trained from scratch knows a rubric"
            )
        return self

    @model_validator(mode="after")
    def _warm(self) -> Models:
        if self.warm_start is not None and "policy" not in self.origins:
            raise ValueError(
                "warm_start belongs to a policy of models.origins; the one trained from scratch "
                "thinks already"
            )
        return self

    @model_validator(mode="after")
    def _heads(self) -> Models:
        if self.hidden_size % (2 * self.num_heads):
            raise ValueError(
                f"hidden_size has to be a multiple of 2 * num_heads ({2 * self.num_heads}), since "
                f"rotary positions turn pairs of each head's numbers; got {self.hidden_size}"
            )
        return self
