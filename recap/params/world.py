"""The section ``world``: the language of the microworld."""

from __future__ import annotations

from recap.params.values import Section, Share


class World(Section):
    """The microworld's language. ``turn_in_response`` decides from what plain RL recovers."""

    wrong_start: Share
    wrong_start_jailbreak: Share
    wrong_start_planted: Share
    family_decay: Share
    turn_in_thought: Share
    turn_in_response: Share
    turn_decay: Share
    wrong_step: Share
    reset: Share
