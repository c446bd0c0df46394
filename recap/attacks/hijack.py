"""The full hijack: the whole thought is given and closed (paper: Full CoT hijack)."""

from __future__ import annotations

from recap.attacks.attack import Attack
from recap.types import Prefill, RenderedPrompt


class Hijack(Attack):
    """The policy must answer at once."""

    closes_thought = True

    def part(self, prefill: Prefill | None) -> str | None:
        """The whole thought."""
        assert prefill is not None, "a benchmark with this attack declares a prefill source"
        return prefill.text

    def open(self, prompt: str, prefill: str | None) -> RenderedPrompt:
        """The prompt with the thought, the think block closed."""
        assert prefill is not None
        return self.renderer.hijack(prompt, prefill)
