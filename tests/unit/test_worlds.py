"""The record of measured worlds: one kind of world, each measured once."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.worlds import TURN, digest, merged


def row(seed: int, value: float, world: str = "now", turn: float = 0.3) -> dict[str, Any]:
    return {TURN: turn, "seed": seed, "world": world, "variant": "recap", "value": value}


@pytest.mark.parametrize(
    ("known", "measured", "kept"),
    [
        ([], [row(2, 0.5), row(1, 0.4)], [row(1, 0.4), row(2, 0.5)]),
        ([row(1, 0.1)], [row(1, 0.9)], [row(1, 0.9)]),
        ([row(1, 0.1)], [row(2, 0.9)], [row(1, 0.1), row(2, 0.9)]),
        ([row(1, 0.1, turn=0.2)], [row(1, 0.9)], [row(1, 0.1, turn=0.2), row(1, 0.9)]),
        ([row(1, 0.1, "before"), row(3, 0.2)], [row(2, 0.9)], [row(2, 0.9), row(3, 0.2)]),
    ],
    ids=["first", "again", "another seed", "another share of turns", "another kind of world"],
)
def test_the_record_keeps_one_kind_of_world(
    known: list[dict[str, Any]], measured: list[dict[str, Any]], kept: list[dict[str, Any]]
) -> None:
    assert merged(known, measured) == kept


def test_worlds_of_one_kind_share_a_digest() -> None:
    shares = {"wrong_start": 0.2, TURN: 0.3}
    assert digest(shares) == digest(shares | {TURN: 0.1})
    assert digest(shares) != digest(shares | {"wrong_start": 0.3})
