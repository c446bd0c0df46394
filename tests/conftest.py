"""Which tests are for `make quick`, and in which order tests run.

What is not in `QUICK` has the mark ``integration``; where no such test is asked for, its file is
not even imported: that takes seconds in each process. Files with slow tests go first, so that what
is left for the last moments is short.

Test processes take work from each other (``--dist worksteal``): no core waits while the other
still has a minute's test to do. A file's tests begin in one process and may end in several, each
with its own fixtures of the file: what these make has to lie in temporary folders.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("recap", deadline=None, max_examples=60)
settings.register_profile("quick", deadline=None, max_examples=15)  # make quick
settings.load_profile("recap")  # a busy machine is no failure

TESTS = Path(__file__).parent
QUICK = tuple(TESTS / name for name in ("unit", "contract", "golden"))
"""Folders of tests that need no server, no pipeline, no training and no browser."""
LONGEST = TESTS / "integration/test_sweep_pool.py"
"""One test of four minutes, which no other process can take a part of: the first to start."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    other = collection_path.parent == TESTS and collection_path not in QUICK
    unwanted = "not integration" in config.option.markexpr
    return True if unwanted and other and collection_path.is_dir() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not any(item.path.is_relative_to(folder) for folder in QUICK):
            item.add_marker("integration")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, item.path != LONGEST))
