"""The prefill attack: the first words of the thought are somebody else's (paper: Prefill)."""

from __future__ import annotations

from recap.attacks.attack import Attack, Case, Shot, Talk


class PrefillAttack(Attack):
    """The policy goes on with a flawed thought, then answers."""

    name = "prefill"

    def talk(self, case: Case) -> Talk:
        """The prompt, the think block open, the prefill in it."""
        (thought,) = case.prefills
        given = self.cut(thought)
        (answer,) = yield [self.renderer.prompt(case.record.prompt, given)]
        return [Shot(1, answer, given, thought.source_model)]
