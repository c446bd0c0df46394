"""The prefill attack: the attacker writes the first words of the thought (paper: Prefill)."""

from __future__ import annotations

from recap.attacks.attack import Attack, Case, Shot, Talk


class PrefillAttack(Attack):
    """The policy continues a flawed thought, then answers."""

    name = "prefill"
    replayable = True

    def talk(self, case: Case) -> Talk:
        """The prompt with an open think block that starts with the prefill."""
        (thought,) = case.prefills
        given = self.cut(thought)
        (answer,) = yield [self.renderer.prompt(case.record.prompt, given)]
        return [Shot(1, answer, given, thought.source_model, thought.category)]
