"""Derives a seed for each use from the one seed of the parameter file."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *names: str | int) -> int:
    """A seed below 2**31 for one use, e.g. ``derive_seed(params.seed, "train", "recap", 0)``.

    Stable across machines and Python versions; different names give unrelated seeds.
    """
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
