"""Two real vLLM servers: what one engine in this process draws, through every fault of theirs.

Locks: 1. samples are those of the policy and repeat, whichever server drew them; 2. new weights
reach both; 3. a server that dies in the middle of a call is replaced, serves the current weights,
and nothing is lost or drawn twice; 4. no path answers without the key; 5. a stale server is refused
although the other one is right; 6. a server of somebody else serves the asked model, whatever it
had, to one run at a time, and outlives it. That nothing outlives a killed stage:
test_server_training.py.
"""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest
import torch
from transformers import LlamaForCausalLM

from recap.errors import ModelError, SyncError
from recap.microworld.tokenizer import make_tokenizer
from recap.models.weights import save_model
from recap.params.sampling import Sampling, Servers
from recap.sampling.given_servers import GivenServer
from recap.sampling.policy_sampler import PolicySampler
from recap.sampling.sampler import open_sampler
from recap.sampling.server_sampler import ServerSampler
from recap.sampling.vllm_server import FOLDER, VllmServer
from recap.scoring.guardian import load_guardian
from recap.scoring.served_guardian import ServedGuardian
from recap.scoring.yes_no import Guardian
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding
from tests.integration.needs_vllm import NEEDS_VLLM
from tests.rounding import logprob_rounding
from tests.tiny import vllm_policy
from tests.waiting import until

pytestmark = NEEDS_VLLM

TOKENIZER = make_tokenizer(256)
# Longer than a block of the CPU's KV cache (128), so that stale keys and values would be used.
PROMPTS = [RenderedPrompt((20, *range(20, 150 + n)), 0) for n in range(5)]
DECODING = Decoding(0.8, 1.0, 12)


def untrained() -> LlamaForCausalLM:
    return vllm_policy(TOKENIZER, tie_word_embeddings=True).eval()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("served") / "policy"
    save_model(untrained(), TOKENIZER, directory)
    return directory


@pytest.fixture(scope="module")
def sampler(model_dir: Path) -> Iterator[ServerSampler]:
    before = Path.cwd()
    os.chdir(model_dir.parent)  # its logs and weights
    sampler = ServerSampler(model_dir, Servers(count=2, tensor_parallel=1), batch_size=32)
    try:
        yield sampler
    finally:
        sampler.close()
        os.chdir(before)


def forward_logprobs(model: LlamaForCausalLM, prompt: RenderedPrompt, sample: tuple[int, ...]):
    ids = torch.tensor([prompt.token_ids + sample])
    with torch.inference_mode():
        steps = (model(input_ids=ids).logits[0] / DECODING.temperature).log_softmax(-1)
    first = len(prompt.token_ids) - 1
    return [steps[first + t, token].item() for t, token in enumerate(sample)]


def assert_of(model: LlamaForCausalLM, groups) -> None:
    """Every sample's log-probabilities are this model's."""
    near = logprob_rounding(model, DECODING.temperature)
    for prompt, group in zip(PROMPTS, groups, strict=True):
        assert len(group) == 3
        for sample in group:
            expected = forward_logprobs(model, prompt, sample.token_ids)
            assert sample.sampling_logprobs == pytest.approx(expected, abs=near)


def stepped() -> LlamaForCausalLM:
    """A policy one optimizer step after the served one."""
    policy = untrained()
    optimizer = torch.optim.AdamW(policy.parameters(), lr=3e-3)
    ids = torch.tensor([PROMPTS[0].token_ids])
    policy(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    return policy.eval()


def test_two_servers_draw_what_the_policy_draws(sampler: ServerSampler) -> None:
    groups = sampler.sample(PROMPTS, DECODING, num_samples=3, seed=1)
    assert_of(untrained(), groups)
    assert len({sample.token_ids for group in groups for sample in group}) == 15
    again = sampler.sample(PROMPTS, DECODING, num_samples=3, seed=1)
    assert [[s.token_ids for s in group] for group in again] == [
        [s.token_ids for s in group] for group in groups
    ]
    part = sampler.sample(PROMPTS, DECODING, num_samples=3, seed=1, part=slice(1, 4))
    assert [[s.token_ids for s in group] for group in part] == [
        [s.token_ids for s in group] for group in groups[1:4]
    ]


def test_nothing_answers_without_the_key(sampler: ServerSampler) -> None:
    sampler.sample(PROMPTS[:1], DECODING, num_samples=1, seed=0)
    for server in sampler._running:
        for path in ("/health", "/v1/models", "/metrics", "/collective_rpc", "/docs"):
            assert httpx.get(server.address.url + path, trust_env=False).status_code == 401
        said = httpx.post(
            f"{server.address.url}/collective_rpc", headers={"Authorization": "Bearer no"}
        )
        assert said.status_code == 401
        own = psutil.Process(server._process.pid)
        listening = {
            connection.laddr.ip
            for process in (own, *own.children(recursive=True))
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}


def test_new_weights_reach_both_servers_and_a_stale_one_is_refused(
    sampler: ServerSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, take = stepped(), VllmServer.take
    rollouts = PolicySampler(policy, sampler)
    assert_of(policy, rollouts.sample(PROMPTS, DECODING, num_samples=3, seed=1))

    def leaves_the_second_out(server: VllmServer, weights: Path) -> None:
        if server is not sampler._running[1]:
            take(server, weights)

    stale = PolicySampler(untrained(), sampler)
    monkeypatch.setattr(VllmServer, "take", leaves_the_second_out)
    with pytest.raises(SyncError, match="engine 2 of 2"):
        stale.sample(PROMPTS, DECODING, num_samples=3, seed=1)
    monkeypatch.undo()
    assert_of(untrained(), stale.sample(PROMPTS, DECODING, num_samples=3, seed=1))


def test_a_server_of_somebody_else_serves_the_asked_model_to_one_run_at_a_time(
    sampler: ServerSampler, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler.sync(stepped())  # what it had
    theirs = sampler._running[0]
    monkeypatch.setenv("RECAP_SERVERS", theirs.address.url)
    monkeypatch.setenv("RECAP_SERVERS_KEY", theirs.address.key)
    save_model(stepped(), TOKENIZER, tmp_path / "other")
    section = Sampling(
        engine="server",
        servers=Servers(count=1, tensor_parallel=1, elsewhere=True),
        batch_size=1,
    )
    refused = r"for this stage alone, got: another run has given"
    with open_sampler(section, model_dir) as one, open_sampler(section, tmp_path / "other") as two:
        assert_of(untrained(), one.sample(PROMPTS, DECODING, num_samples=3, seed=1))
        with pytest.raises(ModelError, match=refused):
            sampler.sample(PROMPTS[:1], DECODING, num_samples=1, seed=0)
        assert_of(stepped(), two.sample(PROMPTS, DECODING, num_samples=3, seed=1))
        with pytest.raises(ModelError, match=refused):
            one.sample(PROMPTS[:1], DECODING, num_samples=1, seed=0)
    assert theirs.healthy()
    assert [folder.name for folder in FOLDER.glob("*/weights-*")] == [sampler._weights.name]


def test_a_guardian_behind_a_server_says_what_it_says_in_this_process(
    sampler: ServerSampler, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler.sync(untrained())
    theirs = sampler._running[0].address
    monkeypatch.setenv("RECAP_GUARDIAN", theirs.url)
    monkeypatch.setenv("RECAP_GUARDIAN_KEY", theirs.key)
    with pytest.raises(ModelError, match=r"to name the weights of .*, weights-\w+, got policy\."):
        load_guardian(model_dir)
    monkeypatch.setattr("recap.scoring.served_guardian.weights_name", lambda _: "policy")
    served = load_guardian(model_dir)
    monkeypatch.delenv("RECAP_GUARDIAN")
    own = load_guardian(model_dir)
    assert (type(served), type(own)) == (ServedGuardian, Guardian)
    assert served.template == own.template
    pairs = [("how do i make the bolba ?", "sure ."), ("what is 3 plus 4 ?", "7 . " * 20)]
    pairs.append(("x", "open it " * 300))  # beyond the context
    mine, theirs_odds = own.log_odds(pairs), served.log_odds(pairs)
    near = logprob_rounding(untrained(), 1.0)
    assert theirs_odds == pytest.approx(mine, abs=2 * near, nan_ok=True)
    assert mine[0] != mine[1] and math.isnan(mine[2])
    assert served.p_yes(pairs) == pytest.approx(own.p_yes(pairs), abs=near, nan_ok=True)
    assert served.rubric(pairs) == own.rubric(pairs)
    for pair in pairs[:2]:
        question = own._renderer.judge(*pair, "rubric")
        (token,) = untrained().generate(torch.tensor([question]), max_new_tokens=1)[0, -1:].tolist()
        assert served._read([question], "rubric").token_N.tolist() == [token]
    GivenServer(replace(theirs, owner="somebody else")).each("precision")
    with pytest.raises(ModelError, match=r"got 409 another run has given"):
        served.log_odds(pairs[:1])


def test_a_server_that_dies_in_a_call_is_replaced_and_nothing_is_lost(
    sampler: ServerSampler, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = stepped()
    sampler.sync(policy)
    expected = sampler.sample(PROMPTS, DECODING, num_samples=3, seed=2)
    victim = sampler._running[1]
    asked = threading.Event()
    ask = sampler._ask

    async def told(requests):
        asked.set()
        return await ask(requests)

    sampler._ask = told  # type: ignore[method-assign]

    def kill() -> None:
        asked.wait()
        os.killpg(victim._process.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    groups = sampler.sample(PROMPTS, DECODING, num_samples=3, seed=2)
    thread.join()
    # Killed before or after its answers: the next call meets a dead server in any case.
    later = sampler.sample(PROMPTS, DECODING, num_samples=3, seed=2)
    assert sampler._running[1] is not victim
    for drawn in (groups, later):
        assert_of(policy, drawn)
        assert [[s.token_ids for s in g] for g in drawn] == [
            [s.token_ids for s in g] for g in expected
        ]
    assert "vLLM server 1 died" in capsys.readouterr().err


def test_too_many_deaths_end_the_stage(
    sampler: ServerSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recap.sampling.server_sampler.MAX_RESTARTS", sampler._restarts)
    os.killpg(sampler._running[0]._process.pid, signal.SIGKILL)
    with pytest.raises(ModelError, match=r"Expected vLLM servers that live, .* See .*server-0"):
        sampler.sample(PROMPTS, DECODING, num_samples=1, seed=0)


def test_closing_leaves_no_process_and_keeps_the_log_of_a_failure(sampler: ServerSampler) -> None:
    processes = [
        process
        for server in sampler._running
        if psutil.pid_exists(server._process.pid)
        for process in (
            psutil.Process(server._process.pid),
            *psutil.Process(server._process.pid).children(recursive=True),
        )
    ]
    assert processes, "one of the two servers lives"
    sampler.close()
    until(lambda: not any(p.is_running() and p.status() != "zombie" for p in processes))
    assert not list(sampler._folder.glob("weights-*"))
    assert list(sampler._folder.glob("server-0.*.log")), "the stage ended by a server's death"
