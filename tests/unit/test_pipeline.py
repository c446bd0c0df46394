"""What is stale and what goes first, on small graphs worked by hand."""

from __future__ import annotations

import pytest

from recap.pipeline.graph import Node, Pipeline


def graph(*edges: tuple[str, str, str]) -> Pipeline:
    """Nodes as (name, space-separated upstream, reason or nothing)."""
    return Pipeline(
        nodes=tuple(
            Node(name=name, upstream=tuple(up.split()), reasons=(why,) if why else ())
            for name, up, why in edges
        )
    )


@pytest.mark.parametrize(
    ("pipeline", "stale"),
    [
        (graph(("a", "", ""), ("b", "a", "")), {}),
        (graph(("a", "", "seed"), ("b", "a", "")), {"a": ("seed",), "b": ("if a changes",)}),
        (graph(("a", "", ""), ("b", "a", "output gone"), ("c", "a", "")), {"b": ("output gone",)}),
        (
            graph(("a", "", "x"), ("b", "a", "y"), ("c", "a b", "")),
            {"a": ("x",), "b": ("y",), "c": ("if a changes", "if b changes")},
        ),
    ],
)
def test_followers_of_a_stale_stage_may_be_stale(
    pipeline: Pipeline, stale: dict[str, tuple[str, ...]]
) -> None:
    assert pipeline.stale() == stale
    certain = [name for name, why in stale.items() if not why[0].startswith("if ")]
    assert list(pipeline.changed()) == certain


def test_urgency_is_the_longest_way_to_the_end() -> None:
    pipeline = graph(("a", "", ""), ("b", "", ""), ("c", "a", ""), ("d", "b c", ""))
    assert pipeline.urgency({}) == {"a": 3.0, "b": 2.0, "c": 2.0, "d": 1.0}
    seconds = {"a": 5.0, "b": 60.0, "c": 10.0}
    assert pipeline.urgency(seconds) == {"a": 16.0, "b": 61.0, "c": 11.0, "d": 1.0}
