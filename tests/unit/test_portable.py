"""The small pipeline's settings are settings, and another Python is one that really runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from recap.params.checks import check_pipeline
from recap.params.whole import Params
from tests.portable import pythons
from tests.portable.__main__ import CAPABILITIES, ROOT, TESTS
from tests.portable.small import OVERLAY, SmallError, overlaid, run


def test_the_overlay_fits_the_parameters() -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    small = Params.model_validate(overlaid(values, OVERLAY))
    check_pipeline(small)
    assert {small.gate.baseline, small.gate.candidate} <= set(small.matrix.variants)
    assert list(small.attack.benchmarks) == values["attack"]["benchmarks"], "every attack is run"


def test_an_overlay_cannot_name_what_is_not_there() -> None:
    with pytest.raises(KeyError, match="updates"):
        overlaid({"train": {"update": 3}}, {"train": {"updates": 3}})


@pytest.mark.parametrize("pattern", TESTS)
def test_every_pattern_of_tests_finds_some(pattern: str) -> None:
    assert list(ROOT.glob(pattern))


def test_a_command_that_fails_is_shown_with_what_it_said(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['ATEN_CPU_CAPABILITY']); sys.exit(3)"
    with pytest.raises(SmallError, match=r"exited with 3:\navx2"):
        run(
            [sys.executable, "-c", code], tmp_path, Path(sys.executable), ATEN_CPU_CAPABILITY="avx2"
        )


def test_another_python_is_not_this_one_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shim that answers with an error, as pyenv's do, is passed over."""
    mine = f"{sys.version_info[0]}.{sys.version_info[1]}"
    wanted = [version for version in pythons.VERSIONS if version != mine]
    shims, root = tmp_path / "shims", tmp_path / "pyenv"
    shims.mkdir()
    for version in pythons.VERSIONS:
        (shims / f"python{version}").write_text("#!/bin/sh\nexit 127\n")
        (shims / f"python{version}").chmod(0o755)
    monkeypatch.setenv("PATH", str(shims))
    monkeypatch.setenv("PYENV_ROOT", str(root))
    monkeypatch.setattr(pythons, "VERSIONS", tuple(wanted[1:]))
    real = root / f"versions/{wanted[1]}.9/bin/python"
    real.parent.mkdir(parents=True)
    real.write_text(f"#!/bin/sh\necho {wanted[1]}.9\n")
    real.chmod(0o755)
    assert pythons.other_python() == (real, f"{wanted[1]}.9")
    real.unlink()
    assert pythons.other_python() is None


def test_the_ci_ends_with_the_tests_summary() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    commands = [line for line in script.splitlines() if line.startswith("make ")]
    jobs = ("lint types imports", "run", "test")
    assert commands == [f"make {job} </dev/null" for job in jobs]
    assert script.rstrip().endswith(commands[-1])
    assert set(CAPABILITIES) == {"default", "avx2"}


def test_every_night_runs_what_the_ci_leaves_out() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    targets = job["strategy"]["matrix"]["target"]
    assert targets == ["portable", "faults", "dry"]
    assert job["steps"][-1] == {"run": "make ${{ matrix.target }}"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"\n{target}: $(STAMP)" in makefile for target in targets)
