"""The section ``prefill``: how flawed thoughts are sampled."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recap.params.values import Count, Positive, Section, Share


class Prefilling(Section):
    """How whole thoughts are sampled from the sources, and when one counts as flawed."""

    temperature: Positive
    top_p: Annotated[float, Field(gt=0.0, le=1.0)]
    max_tokens: Count
    attempts: Count
    guardian_threshold: Share
