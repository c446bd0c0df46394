"""The microworld's prompts as records: four sets for each split, every prompt distinct."""

from __future__ import annotations

import random

from recap.errors import DataError
from recap.microworld import words
from recap.microworld.grammar import World
from recap.params.seeds import derive_seed
from recap.types.prompts import PromptRecord, Split

MAX_DRAWS = 50
"""The most draws per wanted distinct prompt; then the set counts as exhausted."""


def make_records(world: World, split: Split, per_set: int) -> list[PromptRecord]:
    """``per_set`` distinct prompts for each of the four sets; objects never cross the split.

    Sets: ``microworld-harmful``, ``-jailbreak`` (wrapped requests), ``-benign``, ``-math``.
    """
    records = []
    for name, domain in words.SETS.items():
        rng = random.Random(derive_seed(world.seed, "records", split, name))
        seen: set[str] = set()
        draws = 0
        while len(seen) < per_set:
            draws += 1
            if draws > MAX_DRAWS * per_set:
                raise DataError(
                    f"Expected {per_set} distinct prompts of microworld-{name} ({split}), but "
                    f"{draws} draws gave {len(seen)}. Ask for fewer in params.yaml, prepare."
                )
            target, cluster, category = None, None, None
            if domain == "math":
                text, steps = world.sum(rng, split=split)
                target = str(words.apply(*steps[-1]))
            else:
                request = world.request(
                    rng,
                    split=split,
                    dangerous=domain == "harmful",
                    wrapped=name == "jailbreak",
                )
                text, cluster = request.text, request.thing
                if request.wrapped:
                    category = "planted thought" if request.planted else "wrapper"
            if text in seen:
                continue
            records.append(
                PromptRecord(
                    id=f"microworld-{name}-{split}-{len(seen):05d}",
                    domain=domain,
                    prompt=text,
                    target=target,
                    source=f"microworld-{name}",
                    split=split,
                    cluster=cluster,
                    category=category,
                )
            )
            seen.add(text)
    return records
