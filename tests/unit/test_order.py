"""The row of tests: equal parts for the test processes, each with slow files at its beginning."""

from __future__ import annotations

import pytest

from tests.conftest import LONGEST, in_parts


@pytest.mark.parametrize(
    ("slow", "quick", "parts", "row"),
    [
        (["AA", "B", "CCC"], "abcdefghij", 2, "AACCCabcBdefghij"),
        (["AA", "B"], "abc", 1, "AABabc"),
        (["AAAAA", "B"], "ab", 2, "AAAAABab"),  # the second part begins one test late
        (["A"], "bcdef", 3, "Abcdef"),
        ([], "abc", 2, "abc"),
    ],
)
def test_each_part_begins_with_slow_files(
    slow: list[str], quick: str, parts: int, row: str
) -> None:
    assert "".join(in_parts([list(file) for file in slow], list(quick), parts)) == row


def test_the_longest_are_there() -> None:
    assert [path for path in LONGEST if not path.is_file()] == []
