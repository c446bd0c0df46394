"""Which prompts get a prefill, and how much of it: alpha and l_pre of the paper.

An exact share ``alpha`` of the harmful and of the benign prompts, redrawn each epoch; math never.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from recap.params import derive_seed
from recap.render import Renderer
from recap.types import Domain, Prefill, PrefilledPrompt, PromptRecord

PREFILLED: tuple[Domain, ...] = ("harmful", "benign")


def inject(
    records: Sequence[PromptRecord],
    prefills: Mapping[str, Prefill],
    alpha: float,
    words: int,
    renderer: Renderer,
    seed: int,
    epoch: int,
) -> list[PrefilledPrompt]:
    """The records in their order, each clean or with a prefill of at most ``words`` words.

    ``round(alpha * n)`` of a domain's n prompts get one (a half goes to the even number). They are
    drawn among the prompts whose prefill, by prompt id, is verified, so the share is exact and is
    short of ``alpha`` only where too few have one (callers bound how many may lack one).
    """
    chosen: set[str] = set()
    for domain in PREFILLED:
        ids = [record.id for record in records if record.domain == domain]
        having = [name for name in ids if name in prefills and prefills[name].rejected is None]
        count = min(round(alpha * len(ids)), len(having))
        rng = random.Random(derive_seed(seed, "inject", domain, epoch))
        chosen.update(rng.sample(having, count))
    return [
        PrefilledPrompt(
            record, cut(prefills[record.id], words, renderer) if record.id in chosen else None
        )
        for record in records
    ]


def cut(prefill: Prefill, words: int, renderer: Renderer) -> Prefill:
    """The prefill's first ``words`` words with their true counts."""
    text, num_words, num_tokens = renderer.cut(prefill.text, words)
    return prefill.model_copy(
        update={"text": text, "num_words": num_words, "num_tokens": num_tokens}
    )
