"""The section ``models``: the origin of policy and guardian."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recap.params.values import Count, Positive, Section

ModelName = Literal["policy", "guardian"]


class Pretraining(Section):
    """One supervised training: ``updates`` steps of ``batch_tokens`` packed tokens.

    ``muon_learning_rate`` is for the layers' matrices, ``learning_rate`` (AdamW) for the rest.
    """

    updates: Count
    batch_tokens: Count
    learning_rate: Positive
    muon_learning_rate: Positive


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

    ``origins``: a local folder, or a hub model pinned to a commit (``org/name@<40 hex digits>``).
    Models without an origin are trained from scratch, with the Llama architecture below.
    """

    origins: dict[ModelName, Annotated[str, Field(min_length=1)]]
    hidden_size: Count
    num_layers: Count
    num_heads: Count
    context: Annotated[int, Field(ge=64)]
    policy: Pretraining
    guardian: Pretraining
    reasoning: Reasoning

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
    def _heads(self) -> Models:
        if self.hidden_size % (2 * self.num_heads):
            raise ValueError(
                f"hidden_size has to be a multiple of 2 * num_heads ({2 * self.num_heads}), since "
                f"rotary positions turn pairs of each head's numbers; got {self.hidden_size}"
            )
        return self
