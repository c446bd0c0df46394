"""The full hijack: the context has the whole thought, closed (paper: Full CoT hijack)."""

from __future__ import annotations

from recap.attacks.attack import Attack, Case, Shot, Talk


class Hijack(Attack):
    """The policy generates only a response."""

    name = "hijack"
    replayable = True

    def closes_thought(self, case: Case) -> bool:
        """Always."""
        return True

    def talk(self, case: Case) -> Talk:
        """The prompt with the whole thought, the think block closed."""
        (thought,) = case.prefills
        (answer,) = yield [self.renderer.hijack(case.record.prompt, thought.text)]
        return [Shot(1, answer, thought.text, thought.source_model, thought.category)]
