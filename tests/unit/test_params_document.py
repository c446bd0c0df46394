"""One parameter file, one value: here, in DVC, after ``exp run -S``, in a sweep; and conflicts."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import parse_yaml

from recap.errors import DataError, ParameterError
from recap.params.document import read_document, refuse_conflicts
from recap.params.whole import read_params
from recap.sweeps.project import read_project, write_project

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6), ("3.0e-6", 3e-6), ("1e-06", 1e-6), ("1.e-6", 1e-6), ("1E-6", 1e-6),
        (".5e-3", 5e-4), ("-.5e-3", -5e-4), ("1.5e6", 1.5e6), ("1_0e-6", 1e-5), ("1e6", 1e6),
        ("1_000", 1000), ("017", 17), ("0o17", 15), ("08", 8), ("0x1F", 31), (".inf", math.inf),
        ("1:30", "1:30"), ("no", "no"), ("on", "on"), ("True", True), ("~", None), ("1e", "1e"),
        ("'1e-6'", "1e-6"),
    ],
)  # fmt: skip
def test_a_scalar_is_what_dvc_takes_it_for(text: str, value: object, tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(f"rate: {text}\n")
    ours, dvcs = read_document(file)["rate"], parse_yaml(file.read_text(), file)["rate"]
    assert (ours, type(ours)) == (value, type(value))
    assert (dvcs, type(dvcs)) == (value, type(value))


@pytest.mark.slow
@pytest.mark.parametrize("spelling", ["1e-6", "3.0e-6", "1e-06", "1.e-6", "1E-6", ".5e-3"])
def test_a_learning_rate_by_any_spelling(spelling: str, tmp_path: Path) -> None:
    """As it stands, once ``dvc exp run -S`` has written it, and laid over a sweep's parameters."""
    for name in ("params.yaml", "dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "recap").mkdir()
    file = tmp_path / "params.yaml"
    text = file.read_text().replace(
        "    attack: {benchmarks",
        f"    train: {{grpo: {{learning_rate: {spelling}}}}}\n    attack: {{benchmarks",
        1,
    )
    file.write_text(text)
    derived = write_project(read_project(tmp_path)) / "params.yaml"
    assert read_params(file).train.grpo.learning_rate == 3e-4
    assert read_params(derived).train.grpo.learning_rate == float(spelling)

    file.write_text(text.replace("learning_rate: 3.0e-4", f"learning_rate: {spelling}"))
    assert read_params(file).train.grpo.learning_rate == float(spelling)
    file.write_text(text)
    apply_overrides(file, [f"train.grpo.learning_rate={spelling}"])
    assert read_params(file).train.grpo.learning_rate == float(spelling)


def test_the_projects_own_files_read_alike() -> None:
    for name in ("params.yaml", "dvc.yaml"):
        file = ROOT / name
        assert read_document(file) == parse_yaml(file.read_text(), file)


def test_a_key_stands_once(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    file = tmp_path / "params.yaml"
    last = text.count("\n") + 1
    for added, message in (
        ("seed: 3\n", rf"'seed' again in line {last}\. Remove one"),
        ("more: {a: 1, b: 2, a: 3}\n", rf"'a' again in line {last}"),
    ):
        file.write_text(text + added)
        with pytest.raises(ParameterError, match=message):
            read_params(file)


def test_a_missing_file_and_broken_yaml_are_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="Expected the parameter file"):
        read_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("seed: [")
    with pytest.raises(ParameterError, match="not valid YAML"):
        read_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("")
    with pytest.raises(ParameterError, match="do not fit"):
        read_params(tmp_path / "params.yaml")


BOTH = "seed: 1\n<<<<<<< HEAD\nx: 1\n=======\nx: 2\n>>>>>>> topic\n"


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "dvc.lock"])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        (BOTH, "'<<<<<<< HEAD' in line 2"),
        (BOTH.split("=======")[0], "'<<<<<<< HEAD' in line 2"),
        ("seed: 1\n=======\n", "'=======' in line 2"),
        (">>>>>>> 0123abc (subject)\n", "'>>>>>>> 0123abc (subject)' in line 1"),
    ],
)
def test_conflict_markers_are_named(text: str, line: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        refuse_conflicts(tmp_path)
    message = str(caught.value)
    assert f"{tmp_path / name} without conflict markers, got {line}." in message
    assert ("git checkout --theirs" in message) == (name == "dvc.lock")


@pytest.mark.parametrize(
    "text", ["# ======= heading =======\n", "a: '<<<<<<< HEAD'\n", "", "a: >-\n  b\n"]
)
def test_what_is_no_conflict_marker(text: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(text)
    refuse_conflicts(tmp_path)
