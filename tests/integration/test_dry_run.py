"""`recap run --dry-run`: what it says of stages, models, data and disk, and that it writes nothing.

1. Stale stages are found through links, without a file in the project.
2. A profile whose models and data are here could start; exit code 0.
3. Each thing that is missing is named with how to get it; exit code 2.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml

from recap.cli.ahead.materials import Material, data, in_bytes, models
from recap.cli.ahead.options import Asked, arguments
from recap.cli.ahead.page import print_ahead
from recap.cli.preflight import absent
from recap.cli.seed import write_seed
from recap.errors import ParameterError
from recap.params.whole import Params, read_params
from tests.integration.flow_project import call, make_project
from tests.integration.hub_server import GATED, REVISION, serving_hub
from tests.parameters import write_params
from tests.portable.small import copy_checkout
from tests.unit.test_preflight import OPENS, make_model

SOURCES = ("harmful", "refusing", "aligned", "harmful_eval", "refusing_eval")
SETS = {
    "star1": "STAR-1.json",
    "gsm8k": "train.jsonl",
    "strongreject": "strongreject.jsonl",
    "xstest": "xstest_prompts.csv",
}


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file but bytecode."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def said(clone: Path, **asked: Any) -> tuple[str, str]:
    """What is printed, and the error."""
    stream = io.StringIO()
    options: dict[str, Any] = {"profile": None, "quick": False, "hardware": None}
    try:
        print_ahead(clone, Asked(**(options | asked)), stream)
    except ParameterError as error:
        return stream.getvalue(), str(error)
    return stream.getvalue(), ""


@pytest.mark.slow
def test_stale_stages_are_found_without_a_file_in_the_project(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    first = call(project, "-m", "recap", "run", "--dry-run")
    assert first.returncode == 0, first.stderr
    assert "│ first x2 │ first run of all 2. no model, on the CPU" in first.stdout
    assert "│ last     │ first run. no model" in first.stdout
    assert "Nothing is missing: the run could start." in first.stdout
    assert not (project / "dvc.lock").exists() and not (project / ".dvc/tmp").exists()
    assert call(project, "-m", "dvc", "repro", "-q").returncode == 0
    assert "first x2 │ up to date." in call(project, "-m", "recap", "run", "--dry-run").stdout
    write_seed(project / "params.yaml", 5)
    before = tree(project)
    told = call(project, "-m", "recap", "run", "--dry-run").stdout
    assert "stale of all 2: seed modified" in told
    assert "stale: if first@a changes; if first@b changes" in told
    assert "reads {a,b}.txt (8 B)" in told
    assert tree(project) == before


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a profile whose models and data are made up and here."""
    clone = copy_checkout(tmp_path_factory.mktemp("clone"))
    for name in ("policy", *SOURCES):
        make_model(clone / "hub" / name, OPENS)
    (clone / "hub/policy/README.md").write_text("---\nlicense: apache-2.0\n---\n")
    at = clone / "hub/policy/.cache/huggingface/download/config.json.metadata"
    at.parent.mkdir(parents=True)
    at.write_text(f"{REVISION}\netag\n1.0\n")
    for name, file in SETS.items():
        (clone / "hub" / name).mkdir()
        (clone / "hub" / name / file).write_text("0123456789\n")
    lab = {
        "extends": "smollm2",
        "models": {
            "origins": {"policy": "hub/policy", "guardian": "rules"},
            "warm_start": None,
        },
        "sources": {"origins": {name: f"hub/{name}" for name in SOURCES}},
        "prepare": {"sources": {name: f"hub/{name}" for name in SETS}},
        "register": {"name": "lab"},
    }
    base = yaml.safe_load((clone / "infra/profiles/smollm2.yaml").read_text("utf-8"))
    base["sources"]["traces"] = {}
    (clone / "infra/profiles/smollm2.yaml").write_text(yaml.safe_dump(base), encoding="utf-8")
    (clone / "infra/profiles/lab.yaml").write_text(yaml.safe_dump(lab), encoding="utf-8")
    return clone


@pytest.mark.slow
def test_a_profile_with_all_it_needs_could_start(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone)
    monkeypatch.setenv("RECAP_REAL_DATA", "/data")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    before = tree(clone)
    told, fault = said(clone, profile="lab")
    assert fault == "" and told.endswith("Nothing is missing: the run could start.\n")
    assert tree(clone) == before
    assert max(map(len, told.splitlines()[:-6])) == 80  # the table; paths below may be longer
    text = " ".join(told.replace("│", " ").split())
    assert "train x3 first run of all 3. rl, 10 updates of " in text
    assert " torch, 1 process, a GPU each or else the CPU; rules as guardian" in text
    assert "python -m recap.stages.train --variant base|dapo|recap --seed 0" in text
    assert "apache-2.0 0123456789ab here," in text
    assert "Prefect: a server of the run, 127.0.0.1 at a free port" in told
    assert f"disk {clone}/.recap/lab:" in told
    (clone / "hub/aligned/model.safetensors").rename(clone / "kept")
    (clone / "hub/gsm8k/train.jsonl").unlink()
    told, fault = said(clone, profile="lab")
    (clone / "kept").rename(clone / "hub/aligned/model.safetensors")
    assert fault.splitlines() == [
        "Expected all that the run needs, got 2 things missing:",
        "  1. sources.origins.aligned: expected a whole safetensors model in "
        f"{clone}/hub/aligned, which lacks model.safetensors",
        "  2. prepare.sources.gsm8k: expected main/test-*.parquet, main/train-*.parquet, "
        "test.jsonl or train.jsonl in hub/gsm8k, found none; "
        "`hf download --repo-type dataset openai/gsm8k --local-dir hub/gsm8k`",
    ]


def test_what_the_hub_has_is_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    params = with_origin(tmp_path, f"org/model@{REVISION}")
    with serving_hub("models", "org/model", {"config.json": b"{}"}) as (address, _):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        )
        monkeypatch.setenv("HF_ENDPOINT", address)
        (row,) = models(tmp_path, params, {})
        assert (row.state, row.fault, row.revision) == ("to download, 2 B", "", REVISION[:12])
        (gated,) = models(tmp_path, with_origin(tmp_path, f"{GATED}@{REVISION}"), {})
        assert gated.state == "gated"
        assert gated.fault == (
            f"expected {GATED} on the hub, got: its terms have to be accepted first; accept them "
            f"on https://huggingface.co/{GATED} and set HF_TOKEN"
        )
        (gone,) = models(tmp_path, with_origin(tmp_path, f"org/gone@{REVISION}"), {})
        assert gone.state == "not to be had" and "check https://huggingface.co/" in gone.fault


def with_origin(folder: Path, origin: str) -> Params:
    return read_params(write_params(folder, {"models.origins": {"policy": origin}}))


def test_a_folder_of_the_papers_that_is_missing_says_where_it_is_published(tmp_path: Path) -> None:
    origin = "hub/Llama-3.1-8B-Instruct"
    changes = {
        "models.origins": {"guardian": "rules", "rubric": origin},
        "prepare.sources": {"microworld": None, "wildjailbreak": "hub/wildjailbreak"},
    }
    params = read_params(write_params(tmp_path, changes))
    faults = dict(absent(tmp_path, params))
    rules, rubric = models(tmp_path, params, faults)
    assert rules == Material(
        "models.origins.guardian", "rules", "the project's own", "the code's", "here"
    )
    assert (rubric.licence, rubric.state) == ("llama3.1", "gated")
    assert rubric.fault == (
        f"expected {origin}, found none; accept its terms on "
        "https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct, `hf auth login`, then "
        f"`hf download meta-llama/Llama-3.1-8B-Instruct --local-dir {origin}`"
    )
    own, jailbreak = data(tmp_path, params, faults)
    assert own.state == "made here"
    assert (jailbreak.licence, jailbreak.state) == ("ODC-BY", "gated")
    assert "datasets/allenai/wildjailbreak, `hf auth login`, then `hf download" in jailbreak.fault


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"dry_run": False, "hardware": "8xH100"}, "Expected --dry-run with --hardware, got"),
        ({"seed": 3}, "Expected --dry-run without --seed"),
        ({"profile": "debug"}, "a profile of whole stages, got debug"),
        ({"quick": True}, "Expected --profile NAME with --quick"),
    ],
)
def test_options_that_do_not_go_together(asked: dict[str, Any], words: str) -> None:
    options: dict[str, Any] = {"profile": None, "quick": False, "hardware": None}
    with pytest.raises(ParameterError, match=words):
        arguments(Asked(**(options | asked)))


@pytest.mark.parametrize(
    ("size", "text"), [(999, "999 B"), (16_060_522_496, "16.1 GB"), (2.2e12, "2.2 TB")]
)
def test_bytes_in_words(size: float, text: str) -> None:
    assert in_bytes(size) == text
