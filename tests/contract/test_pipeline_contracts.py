"""What is written twice agrees: stages, files, parameters, tags, code dependencies, profiles.

Locks: 1. one name in four places (DVC stage, file in recap/stages, section of params.yaml, MLflow
tag); 2. a stage declares the parameters it reads and no others; 3. its code dependencies are what
it imports; 4. a path on its command line is a dependency or an output, or a folder of some;
5. every parameter file loads.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

from recap.errors import ParameterError
from recap.params.matrix import TABLES
from recap.params.whole import Params, read_params
from recap.pipeline.lock import Lineage
from recap.sweeps.design import sweep_design
from tests.contract.stage_deps import (
    DATA,
    ROOT,
    data_files,
    pipeline,
    stage_dependencies,
    stage_names,
    with_dependencies,
)

STAGES = sorted(pipeline())
PROFILES = [ROOT / "infra/profiles/paper.yaml"]
BY_HAND = 88
"""Lines with `fmt: skip`, at most."""
SPELLED = {"validation": "validate", "registration": "register"}
"""Attributes of Params whose YAML name is one that pydantic keeps for itself."""


def test_one_name_in_four_places() -> None:
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    entries = {f"{name}@x" if name == "train" else name: {"cmd": name} for name in STAGES}
    tags = Lineage("commit", "lock", entries).tags("recap-0")
    for name, stage in pipeline().items():
        assert f"python -m recap.stages.{name} " in stage["cmd"]
        assert name in sections
        assert f"stage.{name}" in tags
    assert stage_names() == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_what_the_command_names_is_declared(stage: str) -> None:
    spec = pipeline()[stage]
    entries = [*spec.get("deps", []), *spec["outs"]]
    # the command of `validate` names all three tables' folders, each member depends on its own
    declared = [path.replace("${item.table}", table) for path in entries for table in TABLES]
    named = re.findall(r"(?:models|data|results|reports|docs)/\S+", spec["cmd"])
    undeclared = {
        path.replace("${item.table}", table)
        for path in named
        for table in TABLES
        if not any(
            covers(known, path.replace("${item.table}", table)) or covers(path, known)
            for known in declared
        )
    }
    assert not undeclared


@pytest.mark.parametrize("stage", STAGES)
def test_declared_parameters_are_those_read(stage: str) -> None:
    declared = {str(entry).split(".")[0] for entry in pipeline()[stage].get("params", [])}
    assert declared == parameters_read(ROOT / f"recap/stages/{stage}.py")


@pytest.mark.parametrize("stage", STAGES)
def test_code_dependencies_are_what_is_imported(stage: str) -> None:
    declared = {d for d in pipeline()[stage].get("deps", []) if d.startswith("recap/")}
    assert declared == set(stage_dependencies(stage)), f"deps of {stage} in dvc.yaml: make deps"


def test_make_deps_changes_nothing_that_is_right() -> None:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert with_dependencies(text) == text
    lost = re.sub(r"(?m)^      - recap/.*\n", "", text)
    assert lost != text and with_dependencies(lost) == text


def test_no_file_is_long() -> None:
    files = sources()
    long = {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8").count("\n") for path in files
    }
    assert {name: lines for name, lines in long.items() if lines > 400} == {}, "split it by ideas"


def test_few_places_are_formatted_by_hand() -> None:
    """Tables alone, where columns are read; who removes one lowers the ceiling."""
    found = [
        path.relative_to(ROOT).as_posix()
        for path in sources()
        for _ in re.findall(r"(?m)  # fmt: skip(?= |$)", path.read_text("utf-8"))
    ]
    assert 0 < len(found) <= BY_HAND, found


def sources() -> list[Path]:
    """Every file of Python that is ours."""
    tops = ("recap", "flows", "experiments", "infra", "tests")
    files = [path for top in tops for path in (ROOT / top).rglob("*.py")]
    assert len(files) > 400
    return files


def test_packages_are_empty() -> None:
    """No stage declares them."""
    for path in (ROOT / "recap").rglob("__init__.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        said = [isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant) for n in tree.body]
        assert said in ([], [True]), f"{path} holds more than its docstring"


def test_data_of_the_package_belongs_to_a_module() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "recap").rglob("*.*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert found == set().union(*map(data_files, DATA))


def test_every_section_is_read_by_a_stage_or_says_which_cells_there_are() -> None:
    read = set().union(*(parameters_read(ROOT / f"recap/stages/{name}.py") for name in STAGES))
    sections = {field.alias or name for name, field in Params.model_fields.items()}
    assert sections - read == {"sweep"}


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *PROFILES], ids=lambda path: path.stem)
def test_every_parameter_file_loads(path: Path) -> None:
    read_params(path)


def test_the_papers_own_sweep_loads() -> None:
    """Eight places of Table 12 with training on alignment prompts alone; the rest is named."""
    design = sweep_design(read_params(ROOT / "infra/profiles/paper.yaml"))
    assert [*design.axes["alpha"].values()] == [
        "alpha_0",
        "alpha_25",
        "alpha_50",
        "alpha_75",
        "alpha_100",
    ]
    assert design.axes["prefill_length"]["500"] == "alpha_50"
    assert len(design.cells()) == 16 * 3 and not design.left_out


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *PROFILES], ids=lambda path: path.stem)
def test_every_setting_of_train_is_read_by_a_variant_that_trains(path: Path) -> None:
    """One that all of them override retrains every one when it is edited, and changes none."""
    params = read_params(path)
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    trained = [name for name in params.matrix.variants if params.for_variant(name).updates]
    assert trained
    for key in values["train"]:
        assert any(key not in values["variants"][name] for name in trained), f"train.{key}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("seed: 0", {"seed"}),
        ("  alpha: 0.5\n", {"train.alpha"}),
    ],
)
def test_a_wrong_parameter_is_named(line: str, expected: set[str], tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    assert line.strip() in text
    broken = re.sub(
        rf"(?m)^{re.escape(line.rstrip())}.*$", line.split(":")[0] + ": nonsense", text, count=1
    )
    (tmp_path / "params.yaml").write_text(broken)
    with pytest.raises(ParameterError) as caught:
        read_params(tmp_path / "params.yaml")
    for key in expected:
        assert f"{key}: " in str(caught.value)
        assert "nonsense" in str(caught.value)


def parameters_read(path: Path) -> set[str]:
    """Sections that a stage file reads as ``params.<section>``; anything else is refused."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bases = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "params":
            stored = isinstance(node.ctx, ast.Store)
            assert stored or id(node) in bases, f"{path.name}:{node.lineno} passes all of params"
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "params"
        ):
            name = SPELLED.get(node.attr, node.attr)
            found |= {"train", "variants"} if name == "for_variant" else {name}
    return found


def covers(dependency: str, path: str) -> bool:
    return path == dependency or path.startswith(f"{dependency}/")
