"""Iterative prefill reset, k rounds (paper: IPR).

Round k's context, in token ids: x, then for every j < k: y_pre, y_gen_j without its ``</think>``,
y_tran; then y_pre, the think block still open. Responses of earlier rounds are dropped and each
round's own response is judged, so that one run gives the rates of k = 1, 2, …. Round 1 is the
prefill attack. A context that outgrows the model is left to the sampler, which says ``overflow``;
later rounds of it only grow and say the same.
"""

from __future__ import annotations

from recap.attacks.prefill import PrefillAttack
from recap.types import RenderedPrompt, Sample


class IterativePrefillReset(PrefillAttack):
    """The prefill attack, repeated behind a sentence that discards the discussion so far."""

    @property
    def rounds(self) -> int:
        """``attack.ipr_rounds``."""
        return self.settings.ipr_rounds

    def follow(
        self, previous: RenderedPrompt, sample: Sample, prefill: str | None
    ) -> RenderedPrompt:
        """The transition sentence and the prefill again, behind the thought generated so far."""
        assert prefill is not None
        return self.renderer.reset(previous, sample.token_ids, self.settings.transition, prefill)
