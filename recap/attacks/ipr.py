"""Iterative prefill reset, ``attack.ipr_rounds`` rounds (paper: IPR).

Round k's context, in token ids: x, then for every j < k: y_pre, y_gen_j without its ``</think>``,
y_tran; then y_pre, with the think block still open. The context drops the responses of earlier
rounds. Each round's own response is judged, so one run gives the rates of k = 1, 2, …. Round 1 is
the prefill attack. If a context is too long for the model, the sampler marks it ``overflow``; later
rounds are longer and are marked too.
"""

from __future__ import annotations

from recap.attacks.attack import Attack, Case, Shot, Talk


class IterativePrefillReset(Attack):
    """The prefill attack, repeated behind a sentence that discards the discussion so far."""

    name = "ipr"

    @property
    def answers(self) -> int:
        """One each round."""
        return self.settings.ipr_rounds

    def talk(self, case: Case) -> Talk:
        """One context at a time, each built on the policy's last answer."""
        (thought,) = case.prefills
        given = self.cut(thought)
        context = self.renderer.prompt(case.record.prompt, given)
        shots = []
        for number in range(1, self.settings.ipr_rounds + 1):
            (answer,) = yield [context]
            shots.append(Shot(number, answer, given, thought.source_model, thought.category))
            context = self.reset(answer, given)
        return shots
