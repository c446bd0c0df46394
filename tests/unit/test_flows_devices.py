"""How many GPUs a stage takes, which there are, and that it sees no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.devices import environment, taken, visible
from flows.stage_run import start
from recap.cli.profile import profile_values
from recap.params.values import strictly
from recap.params.whole import Params
from tests.integration.flow_project import ROOT


@pytest.mark.parametrize(
    ("profile", "stage", "variant", "expected"),
    [
        ("paper", "train", "recap", 1),
        ("paper", "train", "base", 0),  # copies the base policy
        ("paper", "train", "", 1),  # a pipeline with one training
        ("paper", "attack", "", 1),
        ("node-8b", "train", "recap", 8),  # six processes, two servers
        ("node-8b", "prefill", "", 8),  # seven servers and a guardian
        ("node-8b", "judge", "", 1),
        ("node-8b", "gate", "", 0),
        ("cluster-8b", "train", "recap", 8),  # on each node; its servers are elsewhere
    ],
)
def test_the_gpus_of_a_stage(profile: str, stage: str, variant: str, expected: int) -> None:
    assert taken(strictly(Params, profile_values(ROOT, profile)), stage, variant) == expected


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, ["0", "1"]),
        ("3,GPU-a", ["3", "GPU-a"]),
        ("", []),
        ("-1", []),
    ],
)
def test_the_gpus_that_there_are(
    named: str | None, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    if named is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible(tmp_path) == expected


@pytest.mark.parametrize(
    ("devices", "seen"), [(["4", "5"], "'4,5'"), ([], "''"), (None, "'all of them'")]
)
def test_a_stage_sees_its_own_gpus_alone(
    devices: list[str] | None, seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "all of them")
    code = "import os; print(repr(os.environ['CUDA_VISIBLE_DEVICES']))"
    said, _ = start(["-c", code], tmp_path, **environment(devices)).communicate(timeout=60)
    assert said.strip() == seen
