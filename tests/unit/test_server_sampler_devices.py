"""Which GPUs a server gets, and who may ask it; servers themselves are tests/integration's."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
import torch

from recap.errors import ModelError, ParameterError
from recap.params.sampling import Sampling, Servers
from recap.processes import MACHINE_DEVICES, without_launch
from recap.sampling import given_servers, vllm_server
from recap.sampling.sampler import open_sampler
from recap.sampling.vllm_extension import KEY, KeyForEverything, OneOwner
from recap.sampling.vllm_sampler import check_room


@pytest.mark.parametrize(
    ("visible", "count", "tensor_parallel", "first", "expected"),
    [
        (None, 2, 1, 0, [("6",), ("7",)]),
        (None, 2, 2, 4, [("4", "5"), ("6", "7")]),
        ("3,5,6,9", 3, 1, 1, [("5",), ("6",), ("9",)]),
        ("GPU-a,GPU-b", 1, 2, 0, [("GPU-a", "GPU-b")]),
    ],
)
def test_servers_get_the_last_gpus(monkeypatch, visible, count, tensor_parallel, first, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.delenv(MACHINE_DEVICES, raising=False)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    servers = Servers(count=count, tensor_parallel=tensor_parallel)
    assert vllm_server.server_devices(servers, first) == expected


def test_a_process_that_sees_one_gpu_knows_those_of_its_stage(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    monkeypatch.setenv(MACHINE_DEVICES, "4,5,6")
    assert vllm_server.server_devices(Servers(count=2, tensor_parallel=1), 1) == [("5",), ("6",)]


def test_too_few_gpus_are_refused_with_the_sum(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(ParameterError, match=r"Expected 2 GPUs, 1 for training and 1 .*, got 1"):
        vllm_server.server_devices(Servers(count=1, tensor_parallel=1), 1)


@pytest.mark.parametrize(
    ("config", "on_gpu", "expected"),
    [
        ({"dtype": "bfloat16"}, False, torch.float32),
        ({"dtype": "bfloat16"}, True, torch.bfloat16),
        ({"torch_dtype": "float16"}, True, torch.float16),
        ({"dtype": "float32"}, True, torch.bfloat16),
        ({}, True, torch.bfloat16),
    ],
)
def test_the_served_precision(config, on_gpu, expected):
    assert vllm_server.served_precision(config, on_gpu=on_gpu) == expected


def passed(scope, monkeypatch):
    """What the guard sends back, and whether the server behind it was asked."""
    monkeypatch.setenv(KEY, "secret")
    sent, asked = [], []

    async def app(scope, receive, send):
        asked.append(scope["type"])

    async def send(message):
        sent.append(message)

    asyncio.run(KeyForEverything(app)(scope, None, send))
    return sent, asked


@pytest.mark.parametrize("headers", [[], [(b"authorization", b"Bearer wrong")]])
@pytest.mark.parametrize("path", ["/health", "/v1/completions", "/collective_rpc", "/metrics"])
def test_every_path_needs_the_key(monkeypatch, headers, path):
    sent, asked = passed({"type": "http", "path": path, "headers": headers}, monkeypatch)
    assert (sent[0]["status"], asked) == (401, [])
    right = [(b"authorization", b"Bearer secret")]
    assert passed({"type": "http", "path": path, "headers": right}, monkeypatch) == ([], ["http"])


def test_a_websocket_needs_it_too_and_the_servers_own_life_does_not(monkeypatch):
    sent, asked = passed({"type": "websocket", "path": "/v1/realtime", "headers": []}, monkeypatch)
    assert (sent, asked) == ([{"type": "websocket.close", "code": 1008}], [])
    assert passed({"type": "lifespan"}, monkeypatch) == ([], ["lifespan"])


def test_a_guard_without_a_key_does_not_start(monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    with pytest.raises(KeyError):
        KeyForEverything(None)


def test_a_server_is_none_of_the_trainers_processes():
    launched = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "x"}
    launched |= {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "ROLE_NAME": "r"}
    assert without_launch(launched | {"PATH": "/bin", "HOME": "/"}) == {"PATH": "/bin", "HOME": "/"}


def test_a_row_that_the_memory_does_not_hold_is_refused():
    check_room(7931, 7931)
    with pytest.raises(ModelError, match=r"Expected room for 7931 tokens .*, got 7930\."):
        check_room(7931, 7930)


@pytest.mark.parametrize(
    ("engine", "name"),
    [("vllm", "vllm_sampler.VllmSampler"), ("server", "server_sampler.ServerSampler")],
)
def test_an_engine_ends_with_its_block_even_by_an_error(monkeypatch, tmp_path, engine, name):
    ended = []
    opened = SimpleNamespace(close=lambda: ended.append(engine))
    monkeypatch.setattr(f"recap.sampling.{name}", lambda *_, **__: opened)
    servers = Servers(count=1, tensor_parallel=1)
    section = Sampling(engine=engine, servers=servers, batch_size=1)
    with pytest.raises(ZeroDivisionError), open_sampler(section, tmp_path) as sampler:
        assert (sampler, ended) == (opened, [])
        raise ZeroDivisionError
    assert ended == [engine]


def test_a_server_gives_samples_to_whoever_gave_it_its_weights_last():
    """Requests in turn, each while the ones that are named before it still run."""
    log = []

    async def run() -> None:
        going = asyncio.Event()

        async def app(scope, receive, send):
            if scope["path"].endswith("slow"):
                await going.wait()
            await send({"status": 200})

        guard = OneOwner(app)

        async def ask(owner: str, path: str) -> None:
            said = []

            async def send(message):
                said.append(message)

            headers = [(b"recap-owner", owner.encode())] if owner else []
            await guard({"type": "http", "path": path, "headers": headers}, None, send)
            log.append((owner, path, said[0]["status"]))

        await ask("", "/v1/completions")  # the model that it was started with
        await ask("a", "/v1/completions")
        await ask("a", "/collective_rpc")
        await ask("", "/v1/completions")
        slow = asyncio.create_task(ask("a", "/v1/completions/slow"))
        await asyncio.sleep(0)
        await ask("b", "/collective_rpc")
        await ask("a", "/v1/completions")
        await ask("b", "/health")
        going.set()
        await slow
        await ask("b", "/collective_rpc")
        await ask("a", "/v1/completions")
        await ask("b", "/v1/completions")

    asyncio.run(run())
    assert log == [
        ("", "/v1/completions", 200),
        ("a", "/v1/completions", 409),
        ("a", "/collective_rpc", 200),
        ("", "/v1/completions", 409),
        ("b", "/collective_rpc", 409),
        ("a", "/v1/completions", 200),
        ("b", "/health", 200),
        ("a", "/v1/completions/slow", 200),
        ("b", "/collective_rpc", 200),
        ("a", "/v1/completions", 409),
        ("b", "/v1/completions", 200),
    ]


ELSEWHERE = Servers(count=2, tensor_parallel=1, elsewhere=True)
TWO = "http://10.0.0.7:8000, http://127.0.0.1:8001/"


def test_servers_elsewhere_are_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("RECAP_SERVERS", TWO)
    monkeypatch.setenv("RECAP_SERVERS_KEY", "word")
    first, second = given_servers.addresses(ELSEWHERE)
    assert (first.url, second.url) == ("http://10.0.0.7:8000", "http://127.0.0.1:8001")
    assert first.owner == second.owner and len(first.owner) == 16
    assert first.headers == {"Authorization": "Bearer word", "recap-owner": first.owner}
    assert given_servers.addresses(ELSEWHERE)[0].owner != first.owner


@pytest.mark.parametrize(
    ("urls", "key", "said"),
    [
        (
            "",
            "word",
            r"addresses of 2 vLLM servers .*RECAP_SERVERS, since servers\.elsewhere .*got 0",
        ),
        ("http://10.0.0.7:1 http://10.0.0.7:1", "word", r"got 1\. Set it \(http://HOST:8000"),
        (
            TWO,
            "",
            r"Expected the key of the vLLM servers in RECAP_SERVERS .*RECAP_SERVERS_KEY, got",
        ),
        (
            "http://8.8.8.8 http://10.0.0.7",
            "word",
            r"RECAP_SERVERS: expected this machine .*8\.8\.8",
        ),
    ],
)
def test_servers_elsewhere_that_are_not_all_named_are_refused(monkeypatch, urls, key, said):
    monkeypatch.setenv("RECAP_SERVERS", urls)
    monkeypatch.setenv("RECAP_SERVERS_KEY", key)
    with pytest.raises(ParameterError, match=said):
        given_servers.addresses(ELSEWHERE)
