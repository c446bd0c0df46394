"""A vLLM server: asked for its state, given weights; one of ours is a child process.

A child listens on 127.0.0.1, unless it is for other machines (recap/sampling/serve.py), and answers
nobody without a key that lives as long as its process. It dies with this process, and its log holds
neither prompts nor completions. Leaves out which prompts a server gets
(recap/sampling/server_sampler.py).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import secrets
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import torch

from recap import processes
from recap.errors import ModelError, ParameterError
from recap.params.sampling import Servers
from recap.runtime.child import environment, start
from recap.runtime.locks import STATE
from recap.runtime.ports import free_port
from recap.sampling.vllm_extension import (
    KEY,
    OWNER,
    TAKEN,
    KeyForEverything,
    TakesPolicies,
)
from recap.sampling.vllm_sampler import AS_FITS, ENVIRONMENT, LOGPROBS_MODE

FOLDER = STATE / "servers"
"""Logs and weights of servers, by machine, process and number of the sampler that has them."""
OPENED = itertools.count()
"""Folders of this process."""
NAME = "policy"
"""The served model's name in requests."""
PATIENCE = 1800.0
"""Seconds until a server that does not answer counts as failed: large weights load for minutes."""
ENDING = 10.0
"""Seconds that a server has to end by itself."""
DEV_MODE = "VLLM_SERVER_DEV_MODE"
"""Environment variable without which vLLM has no paths for weights and caches."""


class Broken(Exception):
    """A server did not answer a request: it has died, or its engine has."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server is started. ``devices``: its GPUs by number, ``None`` without a GPU.

    ``host``: the address that it listens on. ``name``: another name of the model in requests.
    """

    model_dir: Path
    dtype: str
    batch_size: int
    tensor_parallel: int
    devices: tuple[str, ...] | None
    log: Path
    host: str = "127.0.0.1"
    name: str = ""

    @property
    def arguments(self) -> list[str]:
        """The command line after ``python``, without the port."""
        on_gpu = self.devices is not None
        return [
            *("-m", "vllm.entrypoints.openai.api_server", "--model", str(self.model_dir)),
            *("--served-model-name", NAME, *([self.name] if self.name else [])),
            *("--host", self.host),
            *("--dtype", self.dtype, "--logprobs-mode", LOGPROBS_MODE),
            *("--max-num-seqs", str(self.batch_size), "--max-model-len", str(AS_FITS)),
            *("--tensor-parallel-size", str(self.tensor_parallel)),
            *("--generation-config", "vllm", "--load-format", "safetensors"),
            *("--enable-prefix-caching", "--disable-log-stats", "--disable-uvicorn-access-log"),
            # Half a prompt asks a seeded request's generator to step back; CPU ones cannot.
            *(() if on_gpu else ("--no-enable-chunked-prefill", "--enforce-eager")),
            *("--middleware", f"{KeyForEverything.__module__}.{KeyForEverything.__qualname__}"),
            *("--worker-extension-cls", f"{TakesPolicies.__module__}.{TakesPolicies.__qualname__}"),
        ]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is asked, with which key; ``context``: the most tokens of one sequence.

    ``owner``: whose weights requests are about, at a server that others may ask too.
    """

    url: str
    key: str
    context: int
    owner: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What a request needs."""
        key = {"Authorization": f"Bearer {self.key}"}
        return key | {OWNER: self.owner} if self.owner else key


class Server(ABC):
    """A server at an address; ``wait`` before the first request."""

    def __init__(self, address: Address) -> None:
        self.address = address

    @abstractmethod
    def wait(self) -> None:
        """Wait until the server answers; raises ModelError when it never does."""

    def healthy(self) -> bool:
        """Whether the server and its engine live."""
        try:
            return httpx.get(
                f"{self.address.url}/health",
                headers=self.address.headers,
                timeout=30,
                trust_env=False,
            ).is_success
        except httpx.TransportError:
            return False

    def take(self, weights: Path) -> None:
        """Serve the weights in a folder, and forget what was computed under the ones before.

        Raises Broken. Nothing may be generated meanwhile.
        """
        self.each("take_policy", str(weights.resolve()))
        self._call("POST", "/reset_prefix_cache")

    def each(self, method: str, *arguments: str) -> list[str]:
        """The answers of all workers of the server to a method of ``TakesPolicies``."""
        body = {"method": method, "args": list(arguments)}
        answers: list[str] = self._call("POST", "/collective_rpc", body)["results"]
        return answers

    def read_context(self) -> None:
        """Ask for the most tokens of one sequence."""
        model = self._call("GET", "/v1/models")["data"][0]  # by any of its names
        self.address = replace(self.address, context=int(model["max_model_len"]))

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            answer = httpx.request(
                method,
                self.address.url + path,
                headers=self.address.headers,
                json=body,
                timeout=PATIENCE,
                trust_env=False,
            )
        except httpx.TransportError as error:
            raise Broken(f"{path}: {error}") from error
        if answer.status_code == TAKEN:
            raise ModelError(taken(self.address.url, answer.text))
        if not answer.is_success:
            raise Broken(f"{path}: {answer.status_code} {answer.text[:200]}")
        return answer.json() if answer.content else None


def taken(url: str, said: str) -> str:
    """The message about a server that another run uses."""
    return (
        f"Expected the vLLM server {url} for this stage alone, got: {said}. Let one after the "
        "other use it (`recap run --workers 1`), or give each servers of its own."
    )


class VllmServer(Server):
    """A server that is a child of this process."""

    def __init__(self, launch: Launch, port: int | None = None, key: str | None = None) -> None:
        """Start the process; without ``port`` and ``key``, at a free one with a random one."""
        self.launch = launch
        port = port or free_port()
        key = key or secrets.token_urlsafe(32)
        super().__init__(Address(f"http://{launch.host}:{port}", key, context=0))
        settings = {**ENVIRONMENT, KEY: self.address.key, DEV_MODE: "1"}
        if launch.devices is not None:
            settings["CUDA_VISIBLE_DEVICES"] = ",".join(launch.devices)
        env = processes.without_launch(environment(**settings))  # vLLM would take them for its own
        launch.log.parent.mkdir(parents=True, exist_ok=True)
        with launch.log.open("w", encoding="utf-8") as stream:
            self._process = start(
                [*launch.arguments, "--port", str(port)],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                process_group=0,  # its engine is ended with it, however it ends
            )

    def wait(self) -> None:
        """Wait until the server answers; raises ModelError when it ends first, or never does."""
        deadline = time.monotonic() + PATIENCE
        while not self.healthy():
            if (code := self.ended()) is not None:
                raise ModelError(
                    f"{self._expected}, got one that ended with code {code}{self._said}"
                )
            if time.monotonic() > deadline:
                raise ModelError(f"{self._expected}, got none within {PATIENCE:.0f} s{self._said}")
            time.sleep(0.2)
        self.read_context()

    def ended(self) -> int | None:
        """The exit code of its process, ``None`` while that runs."""
        return self._process.poll()

    def healthy(self) -> bool:
        """Whether the server and its engine live."""
        return self.ended() is None and super().healthy()

    def stop(self) -> None:
        """End the server and every process of it."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(ENDING)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def _expected(self) -> str:
        return f"Expected a vLLM server with the model {self.launch.model_dir}"

    @property
    def _said(self) -> str:
        """The last line of the log that tells an error, and where the log is."""
        lines = self.launch.log.read_text(encoding="utf-8", errors="replace").splitlines()
        telling = [line for line in lines if "Error" in line] or lines or ["it said nothing"]
        return f" ({telling[-1].strip()}). See {self.launch.log}"


def new_folder() -> Path:
    """A folder of this process for logs and weights, not made yet.

    Machines may share the place, so its name begins with this one's.
    """
    return FOLDER / f"{platform.node()}.{os.getpid()}-{next(OPENED)}"


def remove_left() -> None:
    """Remove what killed processes of this machine left: weights are large."""
    for folder in FOLDER.glob(f"{platform.node()}.*"):
        if not psutil.pid_exists(int(folder.name.rpartition(".")[2].partition("-")[0])):
            shutil.rmtree(folder)


def server_devices(servers: Servers, first: int) -> list[tuple[str, ...] | None]:
    """The GPUs of each server, by number; ``None`` where the machine has no GPU."""
    if not torch.cuda.is_available():
        return [None] * servers.count
    visible = processes.machine_devices()
    needed = servers.count * servers.tensor_parallel
    if len(visible) - first < needed:
        raise ParameterError(
            f"Expected {first + needed} GPUs, {first} for training and {servers.tensor_parallel} "
            f"for each of {servers.count} vLLM servers, got {len(visible)}. Lower servers.count or "
            "servers.tensor_parallel, or set the engine to vllm, which shares the trainer's GPU."
        )
    own = visible[-needed:]  # a guardian in this process lies on the first
    size = servers.tensor_parallel
    return [tuple(own[n * size : (n + 1) * size]) for n in range(servers.count)]


def served_precision(config: dict[str, Any], *, on_gpu: bool) -> torch.dtype:
    """fp32 on a CPU; on a GPU the precision of the model's files, bf16 in place of fp32."""
    if not on_gpu:
        return torch.float32
    named = config.get("dtype") or config.get("torch_dtype")
    return torch.float16 if named == "float16" else torch.bfloat16
