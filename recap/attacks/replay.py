"""Replay: an attack that succeeded once, as it was (not in the paper).

The file ``attack.replay`` has such attacks (recap/attacks/kept.py): a prompt, or a prompt with the
planted part of a thought. Template markers of another model in it are broken up.
"""

from __future__ import annotations

from recap.attacks.attack import Attack, Case, Shot, Talk
from recap.types.sources import KEPT


class Replay(Attack):
    """The policy gets the same prompt with the same words in its thought."""

    name = "replay"
    needs = "kept"

    def closes_thought(self, case: Case) -> bool:
        """As the kept attack did."""
        return case.kept is not None and case.kept.thought_closed

    def talk(self, case: Case) -> Talk:
        """The context of the kept attack."""
        assert case.kept is not None, "a case of replay has an attack"
        prompt, planted = case.record.prompt, case.kept.prefill
        given = None if planted is None else self.renderer.escape(planted)
        if self.closes_thought(case):
            (answer,) = yield [self.renderer.hijack(prompt, given or "")]
        else:
            (answer,) = yield [self.renderer.prompt(prompt, given)]
        return [Shot(1, answer, given, KEPT)]
