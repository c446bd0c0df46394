"""The section ``prefill``: sampling of flawed thoughts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recap.params.values import Count, Positive, Section, Share


class Prefilling(Section):
    """Sampling of whole thoughts from the sources, and the threshold of a flawed one."""

    temperature: Positive
    top_p: Annotated[float, Field(gt=0.0, le=1.0)]
    max_tokens: Count
    attempts: Count
    guardian_threshold: Share
