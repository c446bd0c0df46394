"""The prefill attack: the first words of the thought are somebody else's (paper: Prefill)."""

from __future__ import annotations

from recap.attacks.attack import Attack
from recap.types import Prefill, RenderedPrompt


class PrefillAttack(Attack):
    """The policy goes on with a flawed thought, then answers."""

    def part(self, prefill: Prefill | None) -> str | None:
        """The first ``attack.prefill_words`` words."""
        assert prefill is not None, "a benchmark with this attack declares a prefill source"
        return self.renderer.cut(prefill.text, self.settings.prefill_words)[0]

    def open(self, prompt: str, prefill: str | None) -> RenderedPrompt:
        """The prompt, the think block open, the prefill in it."""
        return self.renderer.prompt(prompt, prefill)
