"""Self-prefill: plants the policy's own worst thought (not in the paper).

The thought is not verified, so it may contain a turn or be unfinished. Only its template markers
are broken up. It is decoded and tokenised again, like every source's thought.
"""

from __future__ import annotations

from recap.attacks.attack import Attack, Case, Shot, Talk
from recap.types.sources import SELF


class SelfPrefill(Attack):
    """Plants the thought of the worst of ``attack.self_samples`` clean answers, by the selector."""

    name = "self"
    needs = "nothing"
    selects = True

    @property
    def width(self) -> int:
        """All clean answers at once."""
        return self.settings.self_samples

    def talk(self, case: Case) -> Talk:
        """The clean prompt several times, then the first words of the worst thought."""
        clean = self.renderer.prompt(case.record.prompt)
        thoughts = yield [clean] * self.settings.self_samples
        worst = max(thoughts, key=lambda answer: answer.worth)  # ties: the first
        thought = self.renderer.escape(worst.cot)
        given = self.renderer.cut(thought, self.settings.prefill_words)[0]
        (answer,) = yield [self.renderer.prompt(case.record.prompt, given)]
        return [Shot(1, answer, given, SELF)]
