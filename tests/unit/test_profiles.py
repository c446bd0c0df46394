"""Profiles: what there is, what a project of one holds, and what is refused.

1. Every profile fits the parameters and passes the pipeline's checks.
2. A project has the clone's code and its own parameters, and the clone keeps its own.
3. A variable that is not set, an unknown name and lost changes are refused with a reason.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from recap.cli.main import app
from recap.cli.preflight import check_launch
from recap.cli.profile import (
    FILES,
    differences,
    profile_names,
    profile_values,
    resolved,
    use_profile,
    write_profile,
)
from recap.errors import ParameterError
from recap.params.checks import check_pipeline
from recap.params.values import strictly
from recap.params.whole import Params, read_params

ROOT = Path(__file__).parents[2]
PARAMS = ROOT / "params.yaml"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a profile takes from a clone, with a code of one file."""
    shutil.copytree(ROOT / "infra/profiles", tmp_path / "infra/profiles")
    for package in ("recap", "flows"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "work.py").write_text("a = 1\n")
    (tmp_path / "experiments/records").mkdir(parents=True)
    for name in ("worlds.json", "judges.jsonl"):
        shutil.copy(ROOT / "experiments/records" / name, tmp_path / "experiments/records")
    for name in ("params.yaml", "dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    autostage = false\n")
    return tmp_path


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", profile_names(ROOT))
def test_every_profile_fits(name: str, quick: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAP_REAL_DATA", "/data")
    if quick and not (ROOT / f"infra/profiles/{name}.quick.yaml").is_file():
        pytest.skip("no short run")
    values = resolved(profile_values(ROOT, name, quick=quick), ROOT)
    check_pipeline(strictly(Params, values))


def test_a_profile_is_laid_over_the_one_that_it_extends(clone: Path) -> None:
    paper, node = profile_values(clone, "paper"), profile_values(clone, "node-8b")
    changed = {key for key, _, _ in differences(paper, node)}
    assert changed == {
        "matrix.seeds", "sampling.engine", "sampling.servers.count", "models.origins.rubric",
        "train.engine", "train.servers.count", "train.save_updates", "train.snapshot_updates",
        "train.checkpointing", "train.launch.processes", "train.launch.shard",
        "train.grpo.max_completion_length", "attack.max_tokens", "register.name",
    }  # fmt: skip
    assert node["prepare"] == paper["prepare"]
    folder = write_profile(clone, "node-8b")
    assert read_params(folder / "params.yaml").train.launch.world == 6
    use_profile(clone, "node-8b", force=True)
    assert read_params(clone / "params.yaml").registration.name == "recap-dsllama-8b-node"
    use_profile(clone, "paper")  # what a profile wrote is nobody's change


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("none", r"to name a whole profile among .*smollm2, got 'none'\. Correct it"),
        ("node-8b", r"got 'node-8b', which extends another one\. Correct it"),
        ("mine", r"got 'mine'\. Correct it"),
    ],
)
def test_a_profile_extends_a_whole_one(other: str, words: str, clone: Path) -> None:
    (clone / "infra/profiles/mine.yaml").write_text(f"extends: {other}\n")
    with pytest.raises(ParameterError, match=words):
        profile_values(clone, "mine")


@pytest.mark.parametrize(
    ("name", "nodes"), [("gpu-1.5b-lora", 1), ("node-8b", 1), ("cluster-8b", 4), ("cluster-14b", 8)]
)
def test_a_run_refuses_the_nodes_that_it_cannot_start(name: str, nodes: int) -> None:
    params = strictly(Params, profile_values(ROOT, name))
    stale = ["prepare", "train@base-0", "train@recap-0"]
    if nodes == 1:
        check_launch(params, stale)
        return
    said = f"Expected train.launch.nodes 1, got {nodes} for train@recap-0: `recap run` starts"
    with pytest.raises(ParameterError, match=said):
        check_launch(params, stale)
    check_launch(params, ["attack@recap-0"])  # another launcher has trained it
    head = (ROOT / f"infra/profiles/{name}.yaml").read_text("utf-8").splitlines()[1]
    assert head.startswith("# `recap run` refuses it")


def test_a_project_has_code_and_parameters_of_its_own(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECAP_REAL_DATA", "/data")
    before = (clone / "params.yaml").read_bytes()
    folder = write_profile(clone, "smollm2")
    assert folder == clone / ".recap/smollm2"
    params = read_params(folder / "params.yaml")
    assert params.registration.name == "recap-smollm2"
    assert str(params.prepare.sources["star1"]) == "/data/star1"
    assert str(params.prepare.sources["benign"]) == "infra/profiles/data"
    assert (folder / "infra/profiles/data/benign.jsonl").is_file()
    assert (folder / "recap/work.py").read_text() == "a = 1\n"
    assert f"dir = {clone / '.dvc/cache'}" in (folder / ".dvc/config").read_text()
    assert (clone / "params.yaml").read_bytes() == before
    assert not (clone / "dvc.lock").exists()
    (folder / "dvc.lock").write_text("kept")
    (clone / "recap/other.py").write_text("b = 2\n")
    (clone / "recap/work.py").unlink()
    date = (folder / "params.yaml").stat().st_mtime_ns
    write_profile(clone, "smollm2")
    assert [path.name for path in (folder / "recap").iterdir()] == ["other.py"]
    assert (folder / "dvc.lock").read_text() == "kept"
    assert (folder / "params.yaml").stat().st_mtime_ns == date
    quick = write_profile(clone, "smollm2", quick=True)
    assert quick == clone / ".recap/smollm2-quick"
    assert read_params(quick / "params.yaml").train.updates == 1


def test_data_of_the_clone_is_found_from_the_project(clone: Path) -> None:
    folder = write_profile(clone, "paper")
    found = read_params(folder / "params.yaml")
    assert found.prepare.sources["beavertails"] == clone / "hub/BeaverTails"
    assert found.models.origins["rubric"] == "hub/Llama-3.1-8B-Instruct"
    assert found.models.origins["policy"] == "hub/DeepSeek-R1-Distill-Llama-8B"  # read in the clone


def test_a_variable_that_is_not_set_is_refused(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RECAP_REAL_DATA", raising=False)
    with pytest.raises(ParameterError) as refused:
        write_profile(clone, "smollm2")
    said = str(refused.value)
    assert "prepare.sources.xstest: $RECAP_REAL_DATA/xstest" in said
    assert "docs/data.md (Where the data come from) lists each" in said
    assert not (clone / ".recap").exists()


@pytest.mark.parametrize(
    ("name", "quick", "said"),
    [
        ("smol", False, "Expected a profile among .*paper or smollm2, got 'smol'"),
        ("debug", False, "Expected a profile among .*paper or smollm2, got 'debug'"),
        ("paper", True, "Expected a short run of the profile 'paper' in infra/"),
    ],
)
def test_what_is_no_profile_is_refused(name: str, quick: bool, said: str, clone: Path) -> None:
    (clone / "infra/profiles/paper.quick.yaml").unlink()
    with pytest.raises(ParameterError, match=said):
        profile_values(clone, name, quick=quick)


def test_use_keeps_changes_of_params_yaml(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAP_REAL_DATA", "/data")
    for arguments in (("init", "-q"), ("add", "params.yaml")):
        subprocess.run(["git", *arguments], cwd=clone, check=True)
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *author, "commit", "-qm", "x"], cwd=clone, check=True)
    use_profile(clone, "smollm2")  # the committed file is replaced
    use_profile(clone, "paper")  # and so is a profile
    assert (clone / "params.yaml").read_bytes() == (ROOT / "infra/profiles/paper.yaml").read_bytes()
    (clone / "params.yaml").write_text("mine: 1\n")
    with pytest.raises(ParameterError, match=r"got one with changes of yours.*or add --force"):
        use_profile(clone, "smollm2")
    assert (clone / "params.yaml").read_text() == "mine: 1\n"
    use_profile(clone, "smollm2", force=True)
    assert read_params(clone / "params.yaml").registration.name == "recap-smollm2"


def test_differences_name_both_values() -> None:
    first = {"train": {"alpha": 0.5, "updates": 3}, "only": 1}
    second = {"train": {"alpha": 0.25, "updates": 3}, "other": None}
    assert differences(first, second) == [
        ("train.alpha", "0.5", "0.25"),
        ("only", "1", "-"),
        ("other", "-", "None"),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--quick"], "Expected --profile NAME with --quick, got --quick alone."),
        (["plan", "--profile", "nope"], "node-8b, paper or smollm2, got 'nope'"),
        (["run", "--profile", "paper", "--seed", "1"], "Expected --profile paper without --seed"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        app(arguments, standalone_mode=False)
    assert ended.value.code == ParameterError.exit_code
    assert said in capsys.readouterr().err


def test_models_of_the_clone_are_found_from_a_project(tmp_path: Path) -> None:
    """Folders of the clone begin there; other origins stay as they are named."""
    (tmp_path / "hub/policy").mkdir(parents=True)
    values = {"models": {"origins": {"policy": "hub/policy", "guardian": "rules"}}}
    assert resolved(values, tmp_path) == {
        "models": {"origins": {"policy": str(tmp_path / "hub/policy"), "guardian": "rules"}}
    }


def test_use_writes_the_folders_that_variables_name(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECAP_REAL_DATA", "/data")
    use_profile(clone, "smollm2", force=True)
    written = (clone / "params.yaml").read_text()
    assert "xstest: /data/xstest" in written
    assert "$RECAP_REAL_DATA/" not in written
    use_profile(clone, "paper")  # what a profile wrote is nobody's change


def test_a_project_has_every_file_that_its_stages_need() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    made = {out for stage in stages.values() for out in (*stage["outs"], *stage.get("metrics", ()))}
    needed = {dep for stage in stages.values() for dep in stage["deps"] if "${" not in dep}
    code = {dep for dep in needed if dep.startswith(("recap/", "origins/"))}
    roots = {str(out).partition("$")[0].rstrip("/") for out in made}
    given = {dep for dep in needed - code if not any(dep.startswith(root) for root in roots)}
    assert given == {name for name in FILES if "/" in name}
