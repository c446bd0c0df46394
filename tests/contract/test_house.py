"""docs/architecture.md is true: its picture is the imports', its files are there."""

from __future__ import annotations

import re

import networkx as nx
import pytest

from tests.contract.house import BLOCK, PAGE, ROOT, WINGS, arrows, picture


def test_the_picture_is_drawn_from_the_imports() -> None:
    drawn = BLOCK.search(PAGE.read_text(encoding="utf-8"))
    assert drawn and drawn.group() == picture(), "make house draws it anew"


def test_every_room_has_its_wing_and_there_is_no_circle() -> None:
    placed = [room for rooms in WINGS.values() for room in rooms]
    assert sorted(placed) == sorted(arrows().nodes)
    assert nx.is_directed_acyclic_graph(arrows())


def test_the_files_of_the_ten_tasks_exist() -> None:
    page = PAGE.read_text(encoding="utf-8")
    tasks = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(tasks) == 10
    for task in tasks:
        paths = re.findall(r"`((?:recap|infra|tests|flows)/[^`]+|params\.yaml)`", task)
        assert paths or "MLFLOW" in task, task
        for path in paths:
            folder, _, name = path.rpartition("/")
            wanted = folder if "<" in name else path
            assert (ROOT / wanted).exists(), path


@pytest.mark.parametrize("name", ["house", "deps"])
def test_the_commands_named_are_targets(name: str) -> None:
    assert f"`make {name}`" in PAGE.read_text(encoding="utf-8")
    assert re.search(rf"(?m)^{name}: ", (ROOT / "Makefile").read_text(encoding="utf-8"))
