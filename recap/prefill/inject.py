"""Which prompts get a prefill, and how much of it: alpha and l_pre of the paper.

A share ``alpha`` of the harmful and of the benign prompts, redrawn each epoch; math never. Every
draw is a function of seed and epoch, so that nothing of it has to be remembered. A coin compares
one fixed number of the prompt and epoch with alpha, and a length is one fixed draw, scaled to the
longest: where these two grow, prompts are only added and prefills only get longer.
"""

from __future__ import annotations

import random
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from recap.params.seeds import derive_seed
from recap.params.train import AlphaMode, Train
from recap.render import Renderer
from recap.types.prompts import Prefill, PrefillUnit, PromptRecord
from recap.types.row import Domain


@dataclass(frozen=True, slots=True)
class Injection:
    """How often and how long: ``lengths`` are the shortest and the longest prefill, in ``unit``.

    ``longest``: of a domain for which a curriculum has lowered it (``recap.rl.curriculum``).
    """

    alphas: Mapping[Domain, float]
    mode: AlphaMode
    lengths: tuple[int, int]
    unit: PrefillUnit
    longest: Mapping[Domain, float] = field(default_factory=dict)

    @classmethod
    def of(cls, train: Train) -> Injection:
        """The injection that a variant asks for."""
        return cls(train.alphas, train.alpha_mode, train.prefill_lengths, train.prefill_unit)

    def longest_of(self, domain: Domain) -> float:
        """The longest prefill of a domain, to be rounded down."""
        return self.longest.get(domain, self.lengths[1])


def choose(
    records: Sequence[PromptRecord],
    eligible: Container[str],
    injection: Injection,
    seed: int,
    epoch: int,
) -> set[str]:
    """The ids of the prompts that get a prefill in this epoch, all of them ``eligible``.

    ``exact``: ``round(alpha * n)`` of a domain's n prompts (a half goes to the even number), so the
    share falls short of ``alpha`` only where too few are eligible. ``bernoulli``: each eligible
    prompt by a coin of its own, which does not depend on who else is eligible.
    """
    chosen: set[str] = set()
    for domain, alpha in injection.alphas.items():
        ids = [record.id for record in records if record.domain == domain]
        rng = random.Random(derive_seed(seed, "inject", domain, epoch))
        if injection.mode == "bernoulli":
            heads = [name for name in ids if rng.random() < alpha]
            chosen.update(name for name in heads if name in eligible)
            continue
        having = [name for name in ids if name in eligible]
        chosen.update(rng.sample(having, min(round(alpha * len(ids)), len(having))))
    return chosen


def cut(
    prefill: Prefill,
    domain: Domain,
    injection: Injection,
    renderer: Renderer,
    seed: int,
    epoch: int,
) -> Prefill:
    """The prefill's beginning with its true counts; a range's length is drawn by prompt, epoch."""
    low, high = injection.lengths
    drawn = random.Random(derive_seed(seed, "length", prefill.prompt_id, epoch)).randint(low, high)
    # Where a curriculum has lowered the longest, the same draw falls into the shorter range.
    longest = int(injection.longest_of(domain))
    length = low + (drawn - low) * (longest - low + 1) // (high - low + 1)
    text, num_words, num_tokens = renderer.cut(prefill.text, length, injection.unit)
    return prefill.model_copy(
        update={"text": text, "num_words": num_words, "num_tokens": num_tokens}
    )
