"""An adaptive adversary with a budget: the worst of N prefills, and one reset with it.

The adversary tries the first N verified thoughts of the evaluation source and takes the thought
whose answer its selector finds most useful. It resets once with that prefill (paper: IPR, k = 2)
and keeps the more useful of the two answers. It never asks the judge that scores it. The budgets
share their candidates, and each candidate's reset is sampled once, so the curve uses one set of
draws. The selector's score of the best first answer cannot fall with N; the judge's rate may.
"""

from __future__ import annotations

from recap.attacks.attack import Attack, Case, Shot, Talk


class Search(Attack):
    """Axis: ``attack.search_budgets``."""

    name = "search"
    needs = "pool"
    selects = True

    @property
    def width(self) -> int:
        """All candidates at once."""
        return max(self.settings.search_budgets)

    @property
    def answers(self) -> int:
        """The candidates, and one more at least."""
        return self.width + 1

    def talk(self, case: Case) -> Talk:
        """All candidates once, then the resets of the candidates that some budget chooses."""
        parts = [self.cut(thought) for thought in case.prefills[: self.width]]
        first = yield [self.renderer.prompt(case.record.prompt, part) for part in parts]
        best = [
            max(range(budget), key=lambda place: first[place].worth)  # ties: the first
            for budget in self.settings.search_budgets
        ]
        chosen = sorted(set(best))
        resets = yield [self.reset(first[place], parts[place]) for place in chosen]
        again = dict(zip(chosen, resets, strict=True))
        return [
            Shot(
                number,
                max(first[place], again[place], key=lambda answer: answer.worth),
                parts[place],
                case.prefills[place].source_model,
                case.prefills[place].category,
            )
            for number, place in enumerate(best, start=1)
        ]
