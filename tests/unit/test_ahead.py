"""What `recap run --dry-run` works out: disk by hand, words of stages, servers, sources of data.

1. Disk: fp32 policies and snapshots twice, three states of one training; an adapter's are small.
2. A stage's state, work and command in words.
3. What is said of the hub agrees with docs/data.md and with the profiles.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from recap.cli.ahead.known import DATA, MODELS
from recap.cli.ahead.page import servers
from recap.cli.ahead.space import output_bytes, spaces, state_bytes
from recap.cli.ahead.stages import StageAhead, stages_ahead, work_of
from recap.cli.profile import profile_names, profile_values
from recap.data.sources.registry import LOADERS
from recap.estimate.shape import PUBLISHED
from recap.params.values import strictly
from recap.params.whole import Params
from recap.pipeline.graph import Node, Pipeline

ROOT = Path(__file__).parents[2]
LLAMA = PUBLISHED["deepseek-r1-distill-llama-8b"]
WEIGHTS = 8_030_261_248


def params_of(profile: str) -> Params:
    return strictly(Params, profile_values(ROOT, profile))


def ahead(name: str, reasons: dict[str, tuple[str, ...]], members: int = 3) -> StageAhead:
    names = tuple(f"{name}@{number}" for number in range(members))
    return StageAhead(name, names, reasons, "", "", (), ())


def test_disk_of_trainings_by_hand(tmp_path: Path) -> None:
    """37 updates with a snapshot every 8: four, and the policy; twice with DVC's cache."""
    params = params_of("paper")
    train = params.for_variant("recap")
    assert output_bytes(train, LLAMA) == 5 * 4 * WEIGHTS
    assert state_bytes(train, LLAMA) == 12 * WEIGHTS
    assert output_bytes(params.for_variant("base"), LLAMA) == 0
    reasons = {"train@recap-0": ("never ran",), "train@base-0": ("never ran",)}
    (space,) = spaces(ROOT, tmp_path / "not/yet", params, [ahead("train", reasons)], [])
    assert space.needed == 2 * 20 * WEIGHTS + 3 * 12 * WEIGHTS
    assert space.place == tmp_path / "not/yet" and space.free > 0
    assert str(space).startswith(f"disk {tmp_path}/not/yet: 610.3 GB needed (training 610.3 GB), ")
    (none,) = spaces(ROOT, tmp_path, params, [ahead("train", {})], [])
    assert none.needed == 0


def test_disk_of_an_adapter_by_hand() -> None:
    """bf16 weights with the adapter merged, twice; a state has the adapter in fp32, three times."""
    train = params_of("h100-8b-lora").for_variant("recap")
    assert output_bytes(train, LLAMA) == 2 * 2 * WEIGHTS
    # rank 16, 32 layers: q, o 4096 + 4096; k, v 4096 + 1024; gate, up, down 4096 + 14336
    adapter = 16 * 32 * (2 * 8192 + 2 * 5120 + 3 * 18_432)
    assert state_bytes(train, LLAMA) == 12 * adapter


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        ({}, "up to date"),
        ({f"x@{n}": ("never ran",) for n in range(3)}, "first run of all 3"),
        ({"x@1": ("never ran",)}, "first run of 1 of 3"),
        ({"x@1": ("never ran",), "x@2": ("seed modified",)}, "stale of 2 of 3: seed modified"),
    ],
)
def test_the_state_of_a_stage(reasons: dict[str, tuple[str, ...]], said: str) -> None:
    assert ahead("x", reasons).state == said


@pytest.mark.parametrize(
    ("profile", "stage", "said"),
    [
        ("paper", "prefill", "vLLM in the stage's process, one GPU, then guardian and rubric by"),
        ("paper", "judge", "judges: gpt-4o-2024-08-06 at https://api.openai.com/v1 and guardian"),
        ("node-8b", "train", "125 x 16, 2 vLLM servers on free ports of 127.0.0.1, a GPU each, 6 "),
        ("node-8b", "attack", "7 vLLM servers on free ports of 127.0.0.1, a GPU each, the last"),
        ("cluster-8b", "train", "8 processes on each of 4 nodes, fsdp2, a GPU each"),
        ("cluster-8b", "train", "8 vLLM servers at RECAP_SERVERS, which is not set, 8 processes"),
        ("h100-8b-lora", "train", "4 x 8, torch, LoRA 16, 1 process, a GPU each or else the CPU"),
        ("smollm2", "models", "takes the origins below; teaches the policy to think"),
        ("paper", "gate", "no model, on the CPU"),
    ],
)
def test_the_work_of_a_stage(profile: str, stage: str, said: str) -> None:
    assert said in work_of(stage, params_of(profile))


def test_a_stage_has_its_files_and_its_command_without_them(tmp_path: Path) -> None:
    stage: dict[str, Any] = {
        "matrix": {"variant": "${matrix.variants}", "seed": ["0"]},
        "cmd": "python -m x --variant ${item.variant} --in data/a.jsonl --out m/${item.variant}",
        "deps": ["recap/x.py", "origins/models", "data/a.jsonl"],
        "outs": ["m/${item.variant}", {"log.txt": {"cache": False}}],
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"x": stage}}))
    (tmp_path / "params.yaml").write_text("matrix: {variants: [base, recap]}\n")
    (tmp_path / "m/recap").mkdir(parents=True)
    (tmp_path / "m/recap/w").write_text("12345")
    node = Node(name="x@base-0", upstream=(), reasons=("never ran",))
    (found,) = stages_ahead(tmp_path, params_of("paper"), Pipeline(nodes=(node,)))
    assert found.command == "python -m x --variant base|recap"
    assert [(file.path, file.size) for file in found.reads] == [("data/a.jsonl", None)]
    assert [(file.path, file.size) for file in found.writes] == [
        ("m/<variant>", 5),
        ("log.txt", None),
    ]


def test_servers_are_named_with_their_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://head:4200/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example:5000")
    assert list(servers(params_of("paper"), tmp_path)) == [
        "judge: https://api.openai.com/v1, key in OPENAI_API_KEY",
        "Prefect: http://head:4200/api",
        "tracking: https://mlflow.example:5000",
    ]


def test_data_sets_are_published_where_the_page_says() -> None:
    page = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    lines = page.splitlines()
    for name, known in DATA.items():
        assert name in LOADERS
        (line,) = [each for each in lines if each.startswith("| ") and _named(known.hub, each)]
        assert ("gated" in line) == known.gated, name
    assert LOADERS.keys() - DATA.keys() == {"microworld", "benign"}


def _named(hub: str, line: str) -> bool:
    owner, _, name = hub.partition("/")
    return hub in line or (f"{owner}/" in line and f"/{name}" in line)


@pytest.mark.parametrize("profile", [name for name in profile_names(ROOT) if name != "smollm2"])
def test_every_model_of_a_profile_is_known(profile: str) -> None:
    params = params_of(profile)
    origins = [*params.models.origins.values(), *params.sources.origins.values()]
    assert {origin.rpartition("/")[2].casefold() for origin in origins} <= MODELS.keys()
