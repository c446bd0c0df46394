"""Traces that teach a model to think before it answers (``models.warm_start``)."""

from __future__ import annotations

from typing import Literal

from recap.types.row import Row

TraceSet = Literal["gsm8k", "star1", "own_harmful", "own_benign"]
"""A data set's own thoughts, or the model's own about harmful and benign prompts."""
TRACES_FILE = "traces.jsonl"
"""Beside a warm-started policy: the traces for it and for its prefill sources."""


class TraceRow(Row):
    """The target for one prompt: a thought, then the response. ``id``: the prompt's."""

    set: TraceSet
    id: str
    prompt: str
    thought: str
    response: str
