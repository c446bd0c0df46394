"""The section ``models``: where policy and guardian come from."""

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


class Models(Section):
    """Where policy and guardian come from.

    ``origins``: a local folder, a GGUF file or a hub model pinned to a commit (docs/models.md);
    what is not named there is trained from scratch, with the Llama architecture below.
    """

    origins: dict[ModelName, Annotated[str, Field(min_length=1)]]
    hidden_size: Count
    num_layers: Count
    num_heads: Count
    context: Annotated[int, Field(ge=64)]
    policy: Pretraining
    guardian: Pretraining

    @model_validator(mode="after")
    def _heads(self) -> Models:
        if self.hidden_size % (2 * self.num_heads):
            raise ValueError(
                f"hidden_size has to be a multiple of 2 * num_heads ({2 * self.num_heads}), since "
                f"rotary positions turn pairs of each head's numbers; got {self.hidden_size}"
            )
        return self
