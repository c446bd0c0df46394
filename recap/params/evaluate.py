"""The section ``evaluate``: how rates are computed."""

from __future__ import annotations

from recap.params.values import Count, Section, Share


class Evaluate(Section):
    """How rates are computed; beyond ``max_unscored`` the stage fails."""

    max_unscored: Share
    bootstrap: Count
