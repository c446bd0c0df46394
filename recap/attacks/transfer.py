"""Prefills of several sources on the same prompts (paper: the brittleness of Table 1).

The sources may include training sources. Each row of this matrix shows how far robustness to the
training prefills transfers. It is not a headline result.
"""

from __future__ import annotations

from recap.attacks.attack import Attack, Case, Shot, Talk


class Transfer(Attack):
    """Axis: ``attack.transfer_sources`` of the benchmark's domain."""

    name = "transfer"
    needs = "each source"

    @property
    def width(self) -> int:
        """All sources at once."""
        return max(len(names) for names in self.settings.transfer_sources.values())

    def talk(self, case: Case) -> Talk:
        """The prefill attack with the thought of each source."""
        parts = [self.cut(thought) for thought in case.prefills]
        answers = yield [self.renderer.prompt(case.record.prompt, part) for part in parts]
        return [
            Shot(number, answer, part, thought.source_model, thought.category)
            for number, (answer, part, thought) in enumerate(
                zip(answers, parts, case.prefills, strict=True), start=1
            )
        ]
