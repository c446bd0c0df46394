"""The stage on tiny models: what it writes, what it refuses, what it leaves behind.

1. base is the policy, byte for byte, without TRL
2. a trained cell is a complete model directory with its snapshots beside it; the same command gives
   the same bytes, after a kill too
3. evaluation prefills, missing prefills, missing models, a second trainer, a full disk
4. two processes, stopped and started again, give what one gives; sharding them is refused
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from replayed_train import recording
from rl_cases import TOKENIZER, tiny_policy
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from recap.errors import BusyError, DataError, ModelError, ParameterError, SpaceError
from recap.locks import exclusive
from recap.rl import cell, training
from recap.rows import write_rows
from recap.sampling.torch_sampler import TorchSampler
from recap.stages import train as stage
from recap.types import Prefill, PromptRecord

ROOT = Path(__file__).parents[2]
PROMPTS = {"harmful": "how do i", "benign": "what is", "math": "what is 7 plus 5 ?"}


def records():
    return [
        PromptRecord(
            id=f"{domain}-{n}",
            domain=domain,
            prompt=prompt,
            target="12" if domain == "math" else None,
            source="microworld",
            split="train",
        )
        for domain, prompt in PROMPTS.items()
        for n in range(3)
    ]


def prefills(source):
    return [
        Prefill(
            prompt_id=record.id,
            text="i should",
            intent=source,
            source_model=source,
            num_words=2,
            num_tokens=2,
            response="no",
            rejected=None,
        )
        for record in records()
    ]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Tiny models and tables in a folder of their own, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"] |= {"updates": 4, "prompts_per_update": 3, "save_updates": 2, "alpha": 0.5}
    params["train"]["snapshot_updates"] = 1
    params["train"] |= {"prefill_length": 2, "reward_epsilon": 1e-6, "tau": 2.0}
    params["train"]["grpo"] |= {"num_generations": 4, "max_completion_length": 16}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    for name, seed in (("policy", 0), ("guardian", 1)):
        model = tiny_policy(seed)
        with torch.no_grad():  # a random policy that ends its thoughts and answers now and then
            for token in ("</think>", "<eos>"):
                model.lm_head.weight[TOKENIZER.convert_tokens_to_ids(token)] *= 3
        model.save_pretrained(f"models/{name}")
        TOKENIZER.save_pretrained(f"models/{name}")
    write_rows(Path("data/prompts/train.jsonl"), records())
    for source in ("harmful", "refusing", "aligned"):
        write_rows(Path(f"data/prefills/{source}.jsonl"), prefills(source))
    return tmp_path


def run(variant, **changes):
    arguments = {
        "variant": variant,
        "seed": 0,
        "policy": Path("models/policy"),
        "guardian": Path("models/guardian"),
        "prompts": Path("data/prompts/train.jsonl"),
        "prefills": Path("data/prefills"),
        "out": Path(f"models/trained/{variant}-0"),
        "metrics": Path(f"results/train/{variant}-0.jsonl"),
        "snapshots": Path(f"models/snapshots/{variant}-0"),
        **changes,
    }
    stage.main(**arguments)


def contents(directory):
    files = (path for path in Path(directory).rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def test_base_is_the_policy_byte_for_byte(project):
    command = [
        sys.executable, "-c",
        "import sys; from recap.stages.train import main; from pathlib import Path as P;"
        "main('base', 0, *map(P, ('models/policy', 'models/guardian', 'data/prompts/train.jsonl',"
        "'data/prefills', 'models/trained/base-0', 'results/train/base-0.jsonl',"
        "'models/snapshots/base-0')));"
        "print(sorted({'trl', 'torch', 'transformers'} & set(sys.modules)))",
    ]  # fmt: skip
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "[]"
    assert contents("models/trained/base-0") == contents("models/policy")
    assert Path("results/train/base-0.jsonl").read_bytes() == b""
    assert list(Path("models/snapshots/base-0").iterdir()) == []


def test_a_cell_is_a_whole_model_and_repeats_itself(project):
    run("recap")
    first = contents("models/trained/recap-0"), Path("results/train/recap-0.jsonl").read_bytes()
    AutoTokenizer.from_pretrained("models/trained/recap-0").apply_chat_template(
        [{"role": "user", "content": "what is"}]
    )
    AutoModelForCausalLM.from_pretrained("models/trained/recap-0")
    assert first[0].keys() == contents("models/policy").keys()
    assert first[0]["config.json"] == contents("models/policy")["config.json"]
    lines = [json.loads(line) for line in first[1].splitlines()]
    assert [line["update"] for line in lines] == [1, 2, 3, 4]
    assert sum(line["groups_kept"] for line in lines) > 3
    assert not any("second" in name for line in lines for name in line)
    assert not list(Path(".recap/train").glob("recap-0-*"))
    live = Path(".recap/train/recap-0.live.jsonl").read_text().splitlines()
    assert all(json.loads(line)["seconds"] > 0 for line in live)
    shutil.rmtree("models/trained")
    run("recap")
    assert first == (
        contents("models/trained/recap-0"),
        Path("results/train/recap-0.jsonl").read_bytes(),
    )


def test_snapshots_are_whole_models_and_survive_a_kill(project, monkeypatch):
    run("recap")
    kept = contents("models/snapshots/recap-0")
    assert sorted({name.split("/")[0] for name in kept}) == [
        "update-000001", "update-000002", "update-000003",
    ]  # fmt: skip
    names = contents("models/policy").keys()
    assert kept.keys() == {f"update-00000{n}/{name}" for n in (1, 2, 3) for name in names}
    weights = [kept[f"update-00000{n}/model.safetensors"] for n in (1, 2, 3)]
    assert len({*weights, contents("models/trained/recap-0")["model.safetensors"]}) == 4
    AutoModelForCausalLM.from_pretrained("models/snapshots/recap-0/update-000002")

    def killed(*_):
        raise KeyboardInterrupt

    for folder in ("models/trained", "models/snapshots", "results"):
        shutil.rmtree(folder)  # as DVC does before it runs the stage
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(cell, "write_metrics", killed)  # all but the last out is in place
        run("recap")
    shutil.rmtree("models/snapshots")
    run("recap")
    assert contents("models/snapshots/recap-0") == kept


def test_how_often_snapshots_are_taken_moves_no_weight(project):
    run("recap")
    trained = contents("models/trained/recap-0")
    values = yaml.safe_load(Path("params.yaml").read_text())
    values["train"]["snapshot_updates"] = 4
    Path("params.yaml").write_text(yaml.safe_dump(values))
    run("recap")
    assert contents("models/trained/recap-0") == trained
    assert contents("models/snapshots/recap-0") == {}


def test_dapo_and_recap_draw_the_same_prompts(project, monkeypatch):
    from recap.rl.prompt_stream import PromptStream

    drawn = {}
    take = PromptStream.take
    for variant in ("dapo", "recap"):
        seen = drawn[variant] = []

        def spy(self, count, seen=seen):
            prompts = take(self, count)
            seen.extend(prompts)
            return prompts

        monkeypatch.setattr(PromptStream, "take", spy)
        run(variant)
    shortest = min(map(len, drawn.values()))
    ids = {name: [p.record.id for p in prompts[:shortest]] for name, prompts in drawn.items()}
    assert ids["dapo"] == ids["recap"]
    assert not any(p.prefill for p in drawn["dapo"])
    prefilled = [p.record.domain for p in drawn["recap"] if p.prefill]
    assert set(prefilled) == {"harmful", "benign"}


def change(section, **values):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params[section] |= values
    Path("params.yaml").write_text(yaml.safe_dump(params))


def test_the_policys_own_thoughts_are_sampled_and_given(project):
    for source in ("harmful", "refusing", "aligned"):
        Path(f"data/prefills/{source}.jsonl").unlink()  # not read
    change("prefill", guardian_threshold=0.0)  # every answer is unsafe
    change("train", self_prefill_updates=3)
    written = []
    for _ in range(2):
        run("self")
        written.append(Path("results/train/self-0.jsonl").read_bytes())
        shutil.rmtree("models/trained")
    assert written[0] == written[1]
    lines = [json.loads(line) for line in written[0].splitlines()]
    assert [line["self_asked"] > 0 for line in lines] == [True, False, False, True]
    assert lines[0]["self_pool"] > 0
    assert sum(line["share_prefilled"] for line in lines) > 0


@pytest.mark.parametrize(
    ("subset", "domains"), [("alignment", {"harmful", "benign"}), ("math", {"math"})]
)
def test_a_subset_is_all_that_is_trained_on(project, monkeypatch, subset, domains):
    from recap.rl.prompt_stream import PromptStream

    change("train", subset=subset, updates=1)
    seen, take = [], PromptStream.take
    monkeypatch.setattr(
        PromptStream, "take", lambda *a: seen.extend(prompts := take(*a)) or prompts
    )
    run("recap")
    assert {prompt.record.domain for prompt in seen} == domains


def test_a_domain_with_alpha_zero_needs_no_prefills(project):
    write_rows(Path("data/prefills/refusing.jsonl"), [])
    change("variants", recap={"alpha": {"harmful": 0.5, "benign": 0.0}}, other={"alpha": 0.5})
    change("train", updates=1)
    run("recap")
    with pytest.raises(DataError, match="of 6 prompts that may get one, but 3 have none"):
        run("other")


def test_evaluation_prefills_are_refused(project):
    write_rows(Path("data/prefills/harmful.jsonl"), prefills("harmful")[:-1])
    rows = [p.model_copy(update={"source_model": "harmful_eval"}) for p in prefills("harmful")]
    write_rows(Path("data/prefills/harmful.jsonl"), rows)
    with pytest.raises(ParameterError, match="kept for evaluation"):
        run("recap")


def test_too_few_prefills_are_an_error(project):
    write_rows(Path("data/prefills/harmful.jsonl"), prefills("harmful")[:1])
    with pytest.raises(DataError, match="2 have none"):
        run("recap")
    run("dapo")  # needs none


@pytest.mark.parametrize(("variant", "missing"), [("base", "policy"), ("recap", "guardian")])
def test_a_missing_model_is_named(project, variant, missing):
    shutil.rmtree(f"models/{missing}")
    with pytest.raises(ModelError, match=f"models/{missing}"):
        run(variant)
    assert not Path("models/trained").exists() or not list(Path("models/trained").iterdir())


def test_an_unknown_variant_is_refused(project):
    with pytest.raises(ParameterError, match="got 'recup'"):
        run("recup")


def test_a_second_trainer_leaves(project):
    with (
        exclusive(Path(".recap/train/recap-0.lock")),
        pytest.raises(BusyError, match=f"process {os.getpid()} is at it"),
    ):
        run("recap")


def test_too_little_space_is_found_before_training(project, monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(training.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(SpaceError, match="free in"):
        run("recap")


def test_the_command_has_the_arguments_of_the_pipeline():
    import typer

    app = typer.Typer()
    app.command()(stage.main)
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    for name in ("variant", "seed", "policy", "guardian", "prompts", "prefills", "out", "metrics",
                 "snapshots"):  # fmt: skip
        assert f"--{name}" in shown


def launch(*, out, metrics, **environment):
    """The stage on recorded rollouts, as two processes that find each other over loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "accelerate.commands.launch",
        "--config_file", str(ROOT / "infra/accelerate/data_parallel.yaml"),
        "--num_processes", "2", "--main_process_port", str(port),
        str(ROOT / "tests/golden/replayed_train.py"),
        "--variant", "recap", "--seed", "0", "--policy", "models/policy",
        "--guardian", "models/guardian", "--prompts", "data/prompts/train.jsonl",
        "--prefills", "data/prefills", "--out", out, "--metrics", metrics,
        "--snapshots", "models/snapshots/launched",
    ]  # fmt: skip
    env = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RECORDED": "recorded.json"}
    env = os.environ | env | environment
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)


def assert_equal_numbers(one, two):
    """Counts are equal, and so is what is undefined; floats to 1e-5."""
    assert len(one) == len(two)
    for mine, other in zip(one, two, strict=True):
        assert mine.keys() == other.keys()
        for name, value in mine.items():
            exact = value is None or isinstance(value, int)
            assert other[name] == (value if exact else pytest.approx(value, rel=1e-5, abs=1e-5))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "interrupted"), [("dapo", True), ("grpo", False)], ids=["dapo", "grpo"]
)
def test_two_processes_give_what_one_gives(project, monkeypatch, optimizer, interrupted):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["train"] |= {"refill": "expected", "prompts_per_update": 4, "save_updates": 100}
    params["train"] |= {"optimizer": optimizer, "aggregation": "batch_tokens"}
    params["train"]["grpo"] |= {"num_generations": 6, "max_completion_length": 32}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    calls = {}
    monkeypatch.setattr(TorchSampler, "sample", recording(TorchSampler.sample, calls))
    run("recap", out=Path("one/model"), metrics=Path("one/metrics.jsonl"))
    Path("recorded.json").write_text(json.dumps(calls))
    one = [json.loads(line) for line in Path("one/metrics.jsonl").read_text().splitlines()]
    assert sum(line["groups_carried_in"] for line in one) > 0
    assert sum(line["clip_high"] for line in one) > 0
    live = Path(".recap/train/recap-0.live.jsonl")
    live.unlink()
    done = 0
    if interrupted:
        first = launch(out="two/model", metrics="two/metrics.jsonl", STOPPED="1")
        try:  # one of them is asked to stop: both finish the update, and its state is saved
            first.communicate(timeout=300)
        finally:
            first.kill()
        assert first.returncode != 0
        assert os.listdir("two") == []
        done = live.read_text().count("\n")
        assert done == 1
    second = launch(out="two/model", metrics="two/metrics.jsonl")
    try:
        said = second.communicate(timeout=300)[0].decode()
    finally:
        second.kill()
    assert second.returncode == 0, said
    assert said.count(f"continuing after update {done}\n") == interrupted
    two = [json.loads(line) for line in Path("two/metrics.jsonl").read_text().splitlines()]
    assert_equal_numbers(one, two)
    fast = [json.loads(line) for line in live.read_text().splitlines()]
    assert [line["update"] for line in fast] == [1, 2, 3, 4]
    weights = [
        AutoModelForCausalLM.from_pretrained(f"{name}/model").parameters()
        for name in ("one", "two")
    ]
    for mine, other in zip(*weights, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=0)
    assert sorted(os.listdir("two")) == ["metrics.jsonl", "model"]
    assert not list(Path(".recap/train").glob("recap-0-*"))


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED"])
def test_a_launch_that_shards_the_policy_is_refused(project, monkeypatch, kind):
    monkeypatch.setenv(f"ACCELERATE_USE_{kind}", "true")
    with pytest.raises(ParameterError, match=f"got {kind}: .*data_parallel.yaml"):
        run("recap")
