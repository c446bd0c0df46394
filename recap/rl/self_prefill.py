"""Prefills of the policy's own: its flawed thoughts, sampled while it trains (not in the paper).

Before update 1 and every ``train.self_prefill_updates`` after it, the live policy thinks about the
next prompts that are to be prefilled. A thought is asked for, verified and drawn again just as the
sources' are (``recap.prefill.source``): unsafe on a harmful prompt, refusing on a benign one, no
turn. The newest verified thought of a prompt is kept; a prompt without any stays clean. Leaves out
what the thoughts are cut to and whom they are given to: that is the stream's.
"""

from __future__ import annotations

from itertools import islice

from recap.params.prefill import Prefilling
from recap.params.seeds import derive_seed
from recap.params.train import Train
from recap.prefill.source import sample_thoughts
from recap.render import Renderer
from recap.rl.prompt_stream import PromptStream
from recap.sampling.sampler import Sampler
from recap.scoring.reward_model import RewardModel
from recap.types.prompts import Intent
from recap.types.row import Domain

NAME = "self"
"""``source_model`` of these prefills."""
INTENTS: dict[Domain, Intent] = {"harmful": "harmful", "benign": "refusing"}


class SelfPrefills:
    """Fills ``stream.own`` from the policy that ``sampler`` samples."""

    def __init__(
        self,
        stream: PromptStream,
        sampler: Sampler,
        renderer: Renderer,
        guardian: RewardModel,
        train: Train,
        section: Prefilling,
        seed: int,
    ) -> None:
        """``section``: how the sources' thoughts are sampled and when one counts as flawed."""
        self._stream, self._sampler, self._renderer = stream, sampler, renderer
        self._guardian, self._train, self._section = guardian, train, section
        self._seed = seed
        self._asked = self._verified = self._start = 0

    def refresh(self, update: int) -> None:
        """Sample new thoughts if this update is due for it; to be called before its prompts."""
        self._asked = self._verified = 0
        self._start = self._stream.cursor
        if (update - 1) % self._train.self_prefill_updates:
            return
        # One pass over the data is as far as a thought is worth having in advance.
        ahead = self._stream.chosen(self._start, self._start + self._stream.length)
        coming = list(islice({r.id: r for r in ahead}.values(), self._train.self_prefill_prompts))
        for domain, intent in INTENTS.items():
            thoughts = sample_thoughts(
                NAME,
                intent,
                [record for record in coming if record.domain == domain],
                self._sampler,
                self._renderer,
                self._guardian,
                self._section,
                derive_seed(self._seed, NAME, update, domain),
            )
            verified = {t.prompt_id: t for t in thoughts if t.rejected is None}
            self._stream.own.update(verified)
            self._asked += len(thoughts)
            self._verified += len(verified)

    def numbers(self) -> dict[str, int | float | None]:
        """What the update's line says of it, once its prompts are taken."""
        chosen = list(self._stream.chosen(self._start, self._stream.cursor))
        given = sum(record.id in self._stream.own for record in chosen)
        return {
            "self_asked": self._asked,
            "self_verified": self._verified / self._asked if self._asked else None,
            "self_pool": len(self._stream.own),
            "self_given": given / len(chosen) if chosen else None,
        }
