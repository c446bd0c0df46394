"""A stage whose code or parameters were edited while it ran is not recorded as made by them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from recap.runtime.child import environment
from recap.runtime.stage import read_declared

ROOT = Path(__file__).parents[2]
PIPELINE = """\
stages:
  train:
    matrix: {variant: [recap, recap_range], seed: [0]}
    cmd: python stage.py ${item.variant}
    params: [seed, train.tau, "variants.${item.variant}"]
    deps: ["data/${item.variant}", raw.jsonl, own.py, pack]
    outs: [out.txt]
"""
PARAMS = "seed: 0\ntrain: {tau: 0.9, other: 1}\nvariants: {recap: {a: 1}, recap_range: {a: 2}}\n"
STAGE = """\
import sys
from pathlib import Path
from recap.runtime.stage import run_stage
def main(path: str, text: str) -> None:
    Path("out.txt").write_text("made")
    Path(path).write_text(text)
run_stage(main)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pack/inner/__pycache__").mkdir(parents=True)
    for name, text in {
        "dvc.yaml": PIPELINE,
        "params.yaml": PARAMS,
        "stage.py": STAGE,
        "own.py": "x = 1\n",
        "pack/__init__.py": "",
        "pack/inner/page.j2": "a",
        "raw.jsonl": "{}",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_what_a_stage_declares(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    code = {"own.py", "pack/__init__.py", "pack/inner/page.j2"}
    for address in ("train@recap-0", "../dvc.yaml:train@recap-0"):
        assert read_declared(address).keys() == {*code, "seed", "train.tau", "variants.recap"}
    assert "variants.recap_range" in read_declared("train@recap_range-0")
    assert read_declared("gone") == {}


@pytest.mark.slow  # all of them together
@pytest.mark.parametrize(
    ("path", "text", "changed"),
    [
        ("own.py", "x = 2\n", "own.py"),
        ("own.py", "x = 1\n", None),
        ("pack/inner/page.j2", "b", "pack/inner/page.j2"),
        ("pack/new.py", "", "pack/new.py"),
        ("pack/inner/__pycache__/x.pyc", "", None),
        ("raw.jsonl", "[]", None),  # an input: DVC's locks keep other stages off it
        ("params.yaml", PARAMS.replace("0.9", "0.8"), "train.tau"),
        ("params.yaml", PARAMS.replace("a: 1", "a: 3"), "variants.recap"),
        ("params.yaml", PARAMS.replace("a: 2", "a: 3"), None),
        ("params.yaml", PARAMS.replace("other: 1", "other: 2"), None),
        ("params.yaml", f"# a comment\n{PARAMS}", None),
    ],
)
def test_what_changes_under_a_stage(
    path: str, text: str, changed: str | None, project: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "stage.py", path, text],
        cwd=project,
        env=environment(PYTHONPATH=str(ROOT), DVC_STAGE="train@recap-0"),
        capture_output=True,
        text=True,
    )
    if changed is None:
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 2
        assert "DataError: Expected code and parameters to stay as they were" in done.stderr
        assert f"while train@recap-0 ran, but {changed} changed." in done.stderr
        assert "Traceback" not in done.stderr
