"""Which tests are for `make quick`, and in which order tests run.

What is not in `QUICK` has the mark ``integration``; where no such test is asked for, its file is
not even imported: that takes seconds in each process.

Test processes take work from each other (``--dist worksteal``): each begins with an equal part of
the list, and one that has done its own takes the last half of what another still has. So each part
begins with files of slow tests, the slowest first, and ends with quick tests: these are taken, and
no core waits at the end while the other has a minute's test to do. A file's tests begin in one
process and may end in several, each with its own fixtures of the file: what these make has to lie
in temporary folders.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("recap", deadline=None, max_examples=60)
settings.register_profile("quick", deadline=None, max_examples=15)  # make quick
settings.load_profile("recap")  # a busy machine is no failure

TESTS = Path(__file__).parent
QUICK = tuple(TESTS / name for name in ("unit", "contract", "golden"))
"""Folders of tests that need no server, no pipeline, no training and no browser."""
LONGEST = tuple(
    TESTS / name
    for name in (
        "integration/test_sweep_pool.py",
        "integration/test_services.py",
        "golden/test_rl_stage_processes.py",
        "integration/test_sweep.py",
        "integration/test_flows.py",
        "integration/test_flow_worker.py",
        "integration/test_server_training.py",
        "faults/test_train_stage.py",
        "integration/test_serve.py",
        "integration/test_attack_journal.py",
        "integration/test_sweep_mirror.py",
        "integration/test_debug_profile.py",
        "integration/test_vllm_sampler.py",
        "integration/test_sweep_tracking.py",
        "integration/test_vllm_training.py",  # in the process that has loaded vLLM
        "integration/test_dvc_commands.py",
        "golden/test_rl_sharding.py",
        "integration/test_server_sampler.py",
    )
)
"""Files of tests that take a minute or more on two slow cores, the slowest first."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    other = collection_path.parent == TESTS and collection_path not in QUICK
    unwanted = "not integration" in config.option.markexpr
    return True if unwanted and other and collection_path.is_dir() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not any(item.path.is_relative_to(folder) for folder in QUICK):
            item.add_marker("integration")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    files: dict[Path, list[pytest.Item]] = {path: [] for path in LONGEST}
    for item in items:
        files.setdefault(item.path, []).append(item)
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    quick = [item for path, own in files.items() if path not in slow for item in own]
    items[:] = in_parts([own for path, own in files.items() if path in slow], quick, processes)


def in_parts(
    slow: Sequence[list[pytest.Item]], quick: list[pytest.Item], parts: int
) -> list[pytest.Item]:
    """All tests in a row of equal parts, whose beginnings take turns with the slow files."""
    total, row = sum(map(len, slow)) + len(quick), list[pytest.Item]()
    for part in range(parts):
        own = [item for file in slow[part::parts] for item in file]
        room = max(0, (total - len(row)) // (parts - part) - len(own))
        row += own + quick[:room]
        quick = quick[room:]
    return row + quick
