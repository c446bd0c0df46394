"""The sweep as a DVC project of its own: which parameters, stages, code and cache it has."""

from __future__ import annotations

import configparser
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo

from recap.errors import ParameterError
from recap.params.whole import read_params
from recap.sweeps.design import Cell
from recap.sweeps.project import locked, read_project, write_project
from tests.unit.sweep_ledger import ROOT, clone, set_sweep

PIPELINE: dict[str, Any] = {
    name: {"cmd": f"python -m recap.{name}", "deps": ["recap/code.py"], "params": ["seed"],
           "outs": [f"{name}.out"]}
    for name in ("models", "sources", "prepare", "validate", "prefill", "train", "attack", "judge",
                 "evaluate", "dynamics", "report", "gate", "register")
}  # fmt: skip
MATRIX = {"variant": "${matrix.variants}", "seed": "${matrix.seeds}"}
for _name in ("train", "attack", "judge", "evaluate", "dynamics"):
    PIPELINE[_name] |= {
        "matrix": MATRIX,
        "cmd": f"python -m recap.{_name} ${{item.variant}} ${{item.seed}}",
        "outs": [f"{_name}/${{item.variant}}-${{item.seed}}"],
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A clone with two files of code."""
    set_sweep(tmp_path, dynamics=["dapo"])
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": PIPELINE}, sort_keys=False))
    (tmp_path / ".dvcignore").write_text("*.part\n")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "recap/__pycache__").mkdir(parents=True)
    for name in ("code.py", "more.py", "__pycache__/code.pyc"):
        (tmp_path / "recap" / name).write_text(name)
    return tmp_path


def test_it_has_the_stages_that_cells_share_and_a_pipeline_for_each_cell(root: Path) -> None:
    folder = write_project(read_project(root))
    assert folder == root / ".recap/sweep"
    written = {
        path.parent.relative_to(folder).as_posix(): yaml.safe_load(path.read_text())["stages"]
        for path in folder.rglob("dvc.yaml")
    }
    assert {name: list(stages) for name, stages in written.items()} == {
        ".": ["models", "sources", "prepare", "validate", "prefill"],
        "cells/recap-0": ["train", "attack", "judge", "evaluate"],
        "cells/recap-1": ["train", "attack", "judge", "evaluate"],
        "cells/dapo-0": ["train", "attack", "judge", "evaluate", "dynamics"],
        "cells/dapo-1": ["train", "attack", "judge", "evaluate", "dynamics"],
    }
    assert written["."]["prepare"] == PIPELINE["prepare"]
    assert written["cells/dapo-1"]["train"] == {
        "wdir": "../..",
        "cmd": "python -m recap.train dapo 1",
        "deps": ["recap/code.py"],
        "params": ["seed"],
        "outs": ["train/dapo-1"],
    }


def test_a_removed_cell_has_no_pipeline_any_more(root: Path) -> None:
    folder = write_project(read_project(root))
    set_sweep(root, seeds=[1])
    write_project(read_project(root))
    assert sorted(path.name for path in (folder / "cells").iterdir()) == ["dapo-1", "recap-1"]


def test_its_parameters_are_the_clones_with_matrix_variants_and_overlay(root: Path) -> None:
    overlay = {"attack": {"benchmarks": ["prefill"]}, "judge": {"second": None}}
    set_sweep(root, axes={"alpha": [0.0, 0.3]}, seeds=[4, 2], overlay=overlay)
    before = read_params(root / "params.yaml")
    params = read_params(write_project(read_project(root)) / "params.yaml")
    assert params.matrix.variants == ("recap", "dapo", "alpha_0p3")
    assert (params.matrix.seeds, params.matrix.tables) == ((4, 2), ("prompts", "prefills"))
    assert params.for_variant("alpha_0p3").alpha == 0.3
    assert (params.attack.benchmarks, params.judge.second) == (("prefill",), None)
    assert params.attack.ipr_rounds == before.attack.ipr_rounds  # laid over, not put in place of
    assert (params.world, params.train, params.judge.api) == (
        before.world,
        before.train,
        before.judge.api,
    )


def test_an_overlay_that_does_not_fit_is_refused(root: Path) -> None:
    set_sweep(root, overlay={"attack": {"rounds": 3}})
    with pytest.raises(ParameterError, match=r"attack\.rounds: there is no such parameter"):
        write_project(read_project(root))


def test_the_stages_of_a_cell_in_order(root: Path) -> None:
    project = read_project(root)
    recap, dapo = Cell("recap", 0), Cell("dapo", 1)
    assert project.stages(recap) == [
        "cells/recap-0/dvc.yaml:train",
        "cells/recap-0/dvc.yaml:attack",
        "cells/recap-0/dvc.yaml:judge",
        "cells/recap-0/dvc.yaml:evaluate",
    ]
    assert project.stages(dapo)[-2:] == [
        "cells/dapo-1/dvc.yaml:evaluate",
        "cells/dapo-1/dvc.yaml:dynamics",
    ]


def test_the_settings_of_a_cell_are_flat_text_of_what_it_trains_with(root: Path) -> None:
    settings = read_project(root).settings(Cell("dapo", 1))
    assert settings["train.alpha"] == "0.0"
    assert settings["train.grpo.num_generations"] == "16"
    assert settings["world.wrong_start"] == "0.22"
    assert {name.split(".")[0] for name in settings} == {"seed", "train", "world"}


def test_code_is_copied_without_caches_and_brought_up_to_date(root: Path) -> None:
    code = write_project(read_project(root)) / "recap"
    assert sorted(path.name for path in code.rglob("*")) == ["code.py", "more.py"]
    untouched = (code / "code.py").stat().st_mtime_ns
    (root / "recap/more.py").unlink()
    (root / "recap/new").mkdir()
    (root / "recap/new/deep.py").write_text("deep")
    (code / "gone").mkdir()
    (code / "gone/old.py").write_text("old")
    write_project(read_project(root))
    names = sorted(path.relative_to(code).as_posix() for path in code.rglob("*"))
    assert names == ["code.py", "new", "new/deep.py"]
    assert (code / "code.py").stat().st_mtime_ns == untouched


def test_files_that_say_the_same_are_not_written_again(root: Path) -> None:
    folder = write_project(read_project(root))
    dates = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert len(dates) == 10
    write_project(read_project(root))
    assert {path: path.stat().st_mtime_ns for path in dates} == dates


def test_it_shares_the_clones_cache_and_remotes(root: Path) -> None:
    def config() -> dict[str, dict[str, str]]:
        write_project(read_project(root))
        found = configparser.ConfigParser(interpolation=None)
        found.read(root / ".recap/sweep/.dvc/config", encoding="utf-8")
        return {name: dict(found[name]) for name in found.sections()}

    assert config() == {"core": {"no_scm": "true"}, "cache": {"dir": str(root / ".dvc/cache")}}
    (root / ".dvc/config").write_text(
        "[core]\n    remote = near\n['remote \"near\"']\n    url = ../store\n"
        "['remote \"far\"']\n    url = s3://bucket/100%\n"
    )
    (root / ".dvc/config.local").write_text("[cache]\n    dir = ../../big\n")
    assert config() == {
        "core": {"remote": "near", "no_scm": "true"},
        "cache": {"dir": str(root.parent / "big")},
        "'remote \"near\"'": {"url": str(root / "store")},
        "'remote \"far\"'": {"url": "s3://bucket/100%"},
    }


def test_what_was_written_has_the_fingerprints_of_what_was_asked(root: Path) -> None:
    project = read_project(root)
    assert project.written() == {}
    write_project(project)
    asked = project.fingerprints()
    assert project.written() == asked
    assert list(asked) == project.design.cells()
    assert len(set(asked.values())) == 4
    (root / "recap/code.py").write_text("changed")
    assert project.written() == asked
    assert not {*project.fingerprints().values()} & {*asked.values()}


def test_a_cell_that_was_not_written_yet_or_otherwise_has_no_print_there(root: Path) -> None:
    write_project(read_project(root))
    set_sweep(root, dynamics=["dapo"], axes={"alpha": [0.0, 0.3, 0.5]}, seeds=[0, 2])
    assert list(read_project(root).written()) == [Cell("recap", 0), Cell("dapo", 0)]
    (root / ".recap/sweep/cells/dapo-0/dvc.yaml").write_text("stages: {}\n")
    assert list(read_project(root).written()) == [Cell("recap", 0)]


@pytest.mark.slow
def test_the_projects_own_pipeline_has_every_stage_that_a_sweep_needs(tmp_path: Path) -> None:
    root = clone(tmp_path / "clone")
    shutil.copy(ROOT / "params.yaml", root)
    project = read_project(root)
    prints = project.fingerprints()
    assert len(prints) == len(set(prints.values())) == len(project.design.cells())


def test_lock_files_are_read_between_two_writes_of_dvc(tmp_path: Path) -> None:
    """DVC truncates them first; a sweep's cells are finished while others are written."""
    repo = Repo.init(str(tmp_path), no_scm=True)
    file, found = tmp_path / "cells/recap-0/dvc.lock", dict[str, Any]()
    file.parent.mkdir(parents=True)
    with repo.lock:
        file.write_text("")
        reader = threading.Thread(target=lambda: found.update(locked(tmp_path)))
        reader.start()
        reader.join(0.3)
        assert reader.is_alive()
        file.write_text("stages: {train: {cmd: train}}")
    reader.join(60)
    assert found == {"cells/recap-0/dvc.yaml:train": {"cmd": "train"}}
    (tmp_path / "dvc.lock").write_text("stages: {models: {cmd: models}}")
    assert locked(tmp_path, ["cells/dapo-0/dvc.yaml:train"]) == {"models": {"cmd": "models"}}
    assert locked(tmp_path, ["cells/recap-0/dvc.yaml:train"]) == locked(tmp_path)
