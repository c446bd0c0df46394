"""Where a recorded cell's outputs lie: its own stages and those before them, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from flows.book import origin
from recap.pipeline.lock import digest
from recap.sweeps.design import Cell
from recap.sweeps.project import Project, read_project
from tests.unit.sweep_ledger import clone

CELL = Cell("recap", 0)
SHARED: dict[str, Any] = {
    "prepare": {"outs": [{"path": "data/prompts/train.jsonl", "md5": "a1"}]},
    "prefill@harmful": {
        "deps": [{"path": "data/prompts/train.jsonl", "md5": "a1"}],
        "outs": [{"path": "data/prefills/harmful.jsonl", "md5": "b2"}],
    },
}
OTHER = {"prefill@other": {"outs": [{"path": "data/pools/other.jsonl", "md5": "c3"}]}}
OWN: dict[str, Any] = {
    "train": {
        "deps": [{"path": "data/prefills"}],
        "outs": [{"path": "models/trained/recap-0", "md5": "d4"}],
    },
    "attack": {"deps": [{"path": "models/trained/recap-0"}], "outs": [{"path": "one", "md5": "e"}]},
    "judge": {"outs": [{"path": "two", "md5": "f"}]},
    "evaluate": {"outs": [{"path": "three", "md5": "g"}]},
    "dynamics": {"outs": [{"path": "four", "md5": "h"}]},
}


def locked_project(root: Path, shared: dict[str, Any]) -> Project:
    project = read_project(clone(root))
    own = {name.rpartition(":")[2] for name in project.stages(CELL)}
    stages = {name: entry for name, entry in OWN.items() if name in own}
    for path, entries in (("dvc.lock", shared), ("cells/recap-0/dvc.lock", stages)):
        (project.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / path).write_text(yaml.safe_dump({"stages": entries}))
    return project


def test_an_origin_has_the_cells_stages_and_the_data_before_them(tmp_path: Path) -> None:
    project = locked_project(tmp_path / "one", SHARED | OTHER)
    found = origin(project, CELL, "abc")
    assert found.commit == "abc"
    assert found.data == {"data/prompts/train.jsonl": "a1", "data/prefills/harmful.jsonl": "b2"}
    assert found.stages["train"] == digest(OWN["train"])
    assert set(found.stages) == {name.rpartition(":")[2] for name in project.stages(CELL)}


def test_it_does_not_hang_on_what_else_is_there(tmp_path: Path) -> None:
    one = origin(locked_project(tmp_path / "one", SHARED | OTHER), CELL, "abc")
    assert origin(locked_project(tmp_path / "two", SHARED), CELL, "abc") == one
    changed = SHARED | {"prepare": {"outs": [{"path": "data/prompts/train.jsonl", "md5": "a2"}]}}
    assert origin(locked_project(tmp_path / "three", changed), CELL, "abc").lock != one.lock
