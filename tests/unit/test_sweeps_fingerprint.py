"""What a cell depends on: a digest worked by hand, and what moves it and what does not.

1. command, code, parameters and everything needed upstream move it; 2. which other cells there are,
parameters that no stage declares, caches and half-written files do not; 3. it needs no data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from recap.errors import PipelineError
from recap.sweeps.design import Cell
from recap.sweeps.fingerprint import Fingerprints, content_digest, tracked_files

PARAMS: dict[str, Any] = {
    "matrix": {"variants": ["recap", "dapo"], "seeds": [0, 1]},
    "variants": {"recap": {"alpha": 0.5}, "dapo": {"alpha": 0.0}},
    "world": {"reset": 0.05},
    "train": {"updates": 80},
    "report": {"samples": 8},
}
CELL = {"variant": "${matrix.variants}", "seed": "${matrix.seeds}"}
PIPELINE: dict[str, Any] = {
    "stages": {
        "prepare": {"cmd": "make prompts", "deps": ["code/data"], "params": ["world"],
                    "outs": ["data/prompts"]},
        "train": {"matrix": CELL, "cmd": "train ${item.variant} ${item.seed}",
                  "deps": ["code/rl.py", "data/prompts/train.jsonl"],
                  "params": ["train", "variants.${item.variant}", "matrix.seeds"],
                  "outs": ["models/${item.variant}-${item.seed}"]},
        "dynamics": {"matrix": CELL, "cmd": "watch ${item.variant}",
                     "deps": ["code/watch.py", "models/${item.variant}-${item.seed}"],
                     "params": [], "outs": ["dynamics/${item.variant}-${item.seed}"]},
        "evaluate": {"matrix": CELL, "cmd": "evaluate",
                     "deps": ["models/${item.variant}-${item.seed}"], "params": [],
                     "outs": ["rates/${item.variant}-${item.seed}"]},
    }
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {"code/data/a.py": "a", "code/rl.py": "rl", "code/watch.py": "w"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def prints(root: Path, pipeline: Any = PIPELINE, params: Any = PARAMS) -> dict[str, str]:
    """Of every stage, and of a cell with and without its dynamics."""
    found = Fingerprints(root, pipeline, params)
    stages = ("prepare", "train@recap-0", "train@dapo-0", "dynamics@recap-0", "evaluate@recap-0")
    return {
        **{name: found.stage(name) for name in stages},
        "cell": found.cell(Cell("recap", 0)),
        "with dynamics": found.cell(Cell("recap", 0), dynamics=True),
    }


def short(value: Any) -> str:
    text = (
        value
        if isinstance(value, str)
        else json.dumps(value, sort_keys=True, separators=(",", ":"))
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_digest_by_hand(root: Path) -> None:
    prepare = short(
        {
            "cmd": "make prompts",
            "params": {"world": {"reset": 0.05}},
            "code": {"code/data": short({"a.py": short("a")})},
            "needs": {},
        }
    )
    train = short(
        {
            "cmd": "train recap 0",
            "params": {"train": {"updates": 80}, "variants.recap": {"alpha": 0.5}},
            "code": {"code/rl.py": short("rl")},
            "needs": {"data/prompts": prepare},
        }
    )
    evaluate = short(
        {"cmd": "evaluate", "params": {}, "code": {}, "needs": {"models/recap-0": train}}
    )
    found = prints(root)
    assert (found["prepare"], found["train@recap-0"]) == (prepare, train)
    assert (found["evaluate@recap-0"], found["cell"]) == (evaluate, short([evaluate]))
    assert found["with dynamics"] == short([evaluate, found["dynamics@recap-0"]])


EVERY = {
    "prepare",
    "train@recap-0",
    "train@dapo-0",
    "dynamics@recap-0",
    "evaluate@recap-0",
    "cell",
    "with dynamics",
}
TRAINED = EVERY - {"prepare"}
RECAP = TRAINED - {"train@dapo-0"}
Change = Callable[[Path, Any, Any], object]


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        (lambda root, p, v: v["world"].update(reset=0.1), EVERY),
        (lambda root, p, v: (root / "code/data/b.py").write_text("b"), EVERY),
        (lambda root, p, v: (root / "code/data/a.py").rename(root / "code/data/c.py"), EVERY),
        (lambda root, p, v: (root / "code/rl.py").write_text("new"), TRAINED),
        (lambda root, p, v: v["train"].update(updates=90), TRAINED),
        (lambda root, p, v: v["variants"]["recap"].update(alpha=0.6), RECAP),
        (
            lambda root, p, v: (root / "code/watch.py").write_text("x"),
            {"dynamics@recap-0", "with dynamics"},
        ),
        (
            lambda root, p, v: p["stages"]["evaluate"].update(cmd="evaluate --all"),
            {"evaluate@recap-0", "cell", "with dynamics"},
        ),
        (lambda root, p, v: v["matrix"].update(variants=["dapo", "recap", "aligned"]), set()),
        (lambda root, p, v: v["matrix"].update(seeds=[0, 1, 2]), set()),
        (lambda root, p, v: v["report"].update(samples=9), set()),
        (lambda root, p, v: (root / "data/prompts").mkdir(parents=True), set()),
        (lambda root, p, v: (root / "code/data/__pycache__").mkdir(), set()),
        (lambda root, p, v: (root / "code/data/a.pyc").write_text("x"), set()),
        (lambda root, p, v: (root / "code/data/.a.py.1a2b.part").write_text("x"), set()),
    ],
)
def test_what_moves_what(root: Path, change: Change, moved: set[str]) -> None:
    before, pipeline, params = prints(root), deepcopy(PIPELINE), deepcopy(PARAMS)
    change(root, pipeline, params)
    after = prints(root, pipeline, params)
    assert {name for name in before if after[name] != before[name]} == moved


def test_files_that_count_are_in_order_and_a_folder_is_its_files(root: Path) -> None:
    (root / "code/data/z").mkdir()
    (root / "code/data/z/b.py").write_text("b")
    assert tracked_files(root / "code") == ["data/a.py", "data/z/b.py", "rl.py", "watch.py"]
    assert content_digest(root / "code/data") == short({"a.py": short("a"), "z/b.py": short("b")})


def test_a_stage_or_a_file_that_is_not_there_is_named(root: Path) -> None:
    with pytest.raises(PipelineError, match=r"Expected a stage train@recap-7 in dvc\.yaml"):
        Fingerprints(root, PIPELINE, PARAMS).stage("train@recap-7")
    (root / "code/rl.py").unlink()
    with pytest.raises(PipelineError, match=r"code/rl\.py, which dvc\.yaml declares, found none"):
        Fingerprints(root, PIPELINE, PARAMS).stage("train@recap-0")
