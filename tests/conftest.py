"""Files with slow tests go first, so that what is left for the last moments is short.

Test processes take work from each other (``--dist worksteal``): no core waits while the other
still has a minute's test to do. A file stays together, for the sake of what its tests share.
"""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
