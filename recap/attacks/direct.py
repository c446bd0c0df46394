"""No attack: the policy gets the prompt alone. The prompt includes any jailbreak wrapper."""

from __future__ import annotations

from recap.attacks.attack import Attack, Case, Shot, Talk


class Direct(Attack):
    """The clean prompt."""

    name = "direct"
    needs = "nothing"
    replayable = True

    def talk(self, case: Case) -> Talk:
        """The prompt with an open think block."""
        (answer,) = yield [self.renderer.prompt(case.record.prompt)]
        return [Shot(1, answer)]
