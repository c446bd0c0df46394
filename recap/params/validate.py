"""The section ``validate``: bounds of the Great Expectations suites."""

from __future__ import annotations

from recap.params.values import Section, Share


class Validate(Section):
    """Bounds of the Great Expectations suites."""

    min_verified_prefills: Share
    max_unscored: Share
