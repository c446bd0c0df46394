"""Iterative prefill reset, ``attack.ipr_rounds`` rounds (paper: IPR).

Round k's context, in token ids: x, then for every j < k: y_pre, y_gen_j without its ``</think>``,
y_tran; then y_pre, the think block still open. Responses of earlier rounds are dropped and each
round's own response is judged, so that one run gives the rates of k = 1, 2, …. Round 1 is the
prefill attack. A context that outgrows the model is left to the sampler, which says ``overflow``;
later rounds of it only grow and say the same.
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
        """One context at a time, each built on what the policy made of the last."""
        (thought,) = case.prefills
        given = self.cut(thought)
        context = self.renderer.prompt(case.record.prompt, given)
        shots = []
        for number in range(1, self.settings.ipr_rounds + 1):
            (answer,) = yield [context]
            shots.append(Shot(number, answer, given, thought.source_model))
            context = self.reset(answer, given)
        return shots
