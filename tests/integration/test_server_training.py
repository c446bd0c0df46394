"""A sharded policy of two processes with rollouts from a real vLLM server, killed and continued.

The whole stage as DVC starts it: rank 0 starts the server, both processes ask it, every round gives
it the weights, the canary asks it. A killed stage leaves no process behind; the next run goes on
from its state, in one process, with a server that ``recap.sampling.serve`` has started. What kills
servers is tests/integration/test_server_sampler.py's.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from transformers import AutoModelForCausalLM

from recap.models.places import weights_name
from recap.models.weights import save_model
from recap.runtime.child import environment
from recap.runtime.ports import free_port
from tests.integration.needs_vllm import NEEDS_VLLM
from tests.tiny import TOKENIZER, ends_now_and_then, vllm_policy, write_training_inputs
from tests.waiting import until

pytestmark = [pytest.mark.integration, *NEEDS_VLLM]

ROOT = Path(__file__).parents[2]
UPDATES = 4


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"] |= {
        "updates": UPDATES,
        "prompts_per_update": 3,
        "save_updates": 1,
        "alpha": 0.5,
    }
    params["train"] |= {"snapshot_updates": 9, "prefill_length": 2, "reward_epsilon": 1e-6}
    params["train"] |= {"tau": 2.0, "max_refill_rounds": 1, "engine": "server"}
    params["train"]["grpo"] |= {"num_generations": 8, "max_completion_length": 24}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    write_training_inputs(tmp_path)
    policy = vllm_policy(TOKENIZER, seed=2, intermediate_size=64, tie_word_embeddings=True)
    save_model(ends_now_and_then(policy), TOKENIZER, tmp_path / "models/policy")
    return tmp_path


def start_stage(
    project: Path, *, processes: int, shard: str, elsewhere: bool, **variables: str
) -> psutil.Popen:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["train"]["launch"] = {"processes": processes, "nodes": 1, "shard": shard}
    params["train"]["servers"] = {"count": 1, "tensor_parallel": 1, "elsewhere": elsewhere}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    command = [
        *(sys.executable, "-m", "recap.stages.train", "--variant", "recap", "--seed", "0"),
        *("--policy", "models/policy", "--guardian", "models/guardian"),
        *("--prompts", "data/prompts/train.jsonl", "--prefills", "data/prefills"),
        *("--out", "out", "--metrics", "metrics.jsonl", "--snapshots", "snapshots"),
    ]
    env = environment(PYTHONPATH=str(ROOT), **variables)
    with (project / "stage.log").open("a") as log:
        return psutil.Popen(command, env=env, stdout=log, stderr=log)


def lines() -> int:
    live = Path(".recap/train/recap-0.live.jsonl")
    return len(live.read_text().splitlines()) if live.is_file() else 0


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_sharded_training_with_a_server_is_killed_and_goes_on(project: Path) -> None:
    log = project / "stage.log"
    stage = start_stage(project, processes=2, shard="fsdp2", elsewhere=False)
    try:
        until(lambda: lines() >= 2, unless=lambda: stage.poll() is not None)
        assert lines() >= 2, log.read_text()
        everything = stage.children(recursive=True)
        served = [p for p in everything if "--served-model-name" in p.cmdline()]
        assert len(served) == 1, "rank 0 has the server, rank 1 asks it"
        assert not any("Bearer" in word or "VLLM_API_KEY" in word for word in served[0].cmdline())
    finally:
        stage.kill()
        stage.wait()
    until(lambda: gone(everything), pause=0.1)

    key = {"RECAP_SERVERS_KEY": "a-long-random-word"}
    serving = [*("-m", "recap.sampling.serve", "models/policy", "--host", "127.0.0.1")]
    with log.open("a") as errors:
        server = psutil.Popen(
            [sys.executable, *serving, "--port", str(free_port())],
            env=environment(PYTHONPATH=str(ROOT), **key),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        given, _, urls = server.stdout.readline().strip().partition("=")
        assert given == "export RECAP_SERVERS", log.read_text()
        headers = {"Authorization": f"Bearer {key['RECAP_SERVERS_KEY']}"}
        models = httpx.get(f"{urls}/v1/models", headers=headers, trust_env=False).json()["data"]
        assert [model["id"] for model in models] == ["policy", weights_name(Path("models/policy"))]
        variables = key | {"RECAP_SERVERS": urls}
        stage = start_stage(project, processes=1, shard="none", elsewhere=True, **variables)
        assert stage.wait() == 0, log.read_text()
        everything = server.children(recursive=True)
    finally:
        server.terminate()
        assert server.wait() == 143
    assert everything and gone(everything)
    assert f"asking the vLLM servers {urls}" in log.read_text()
    assert re.search(r"continuing after update [123]", log.read_text())
    metrics = [json.loads(line) for line in Path("metrics.jsonl").read_text().splitlines()]
    assert [line["update"] for line in metrics] == [1, 2, 3, 4]
    assert all(line["skipped_steps"] == 0 for line in metrics)
    assert any(line["groups_kept"] for line in metrics)
    trained = AutoModelForCausalLM.from_pretrained("out").state_dict()
    before = AutoModelForCausalLM.from_pretrained("models/policy").state_dict()
    assert any(not trained[name].equal(before[name]) for name in before)
    assert not list(Path(".recap/servers").glob("*/weights-*"))
