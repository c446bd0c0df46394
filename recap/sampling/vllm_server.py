"""One vLLM server as a child process: started, asked, given weights, ended.

It listens on 127.0.0.1 and answers nobody without a key that lives as long as its process. It dies
with this process, and its log holds neither prompts nor completions. Leaves out which prompts a
server gets (recap/sampling/server_sampler.py).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from recap.errors import ModelError
from recap.processes import without_launch
from recap.runtime.child import environment, start
from recap.runtime.ports import free_port
from recap.sampling.vllm_extension import KEY, KeyForEverything, TakesPolicies
from recap.sampling.vllm_sampler import AS_FITS, ENVIRONMENT, LOGPROBS_MODE

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
    """How a server is started. ``devices``: its GPUs by number, ``None`` without a GPU."""

    model_dir: Path
    dtype: str
    batch_size: int
    tensor_parallel: int
    devices: tuple[str, ...] | None
    log: Path

    @property
    def arguments(self) -> list[str]:
        """The command line after ``python``, without the port."""
        on_gpu = self.devices is not None
        return [
            *("-m", "vllm.entrypoints.openai.api_server", "--model", str(self.model_dir)),
            *("--served-model-name", NAME, "--host", "127.0.0.1"),
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
    """Where a server is asked, with which key; ``context``: the most tokens of one sequence."""

    url: str
    key: str
    context: int

    @property
    def headers(self) -> dict[str, str]:
        """What a request needs."""
        return {"Authorization": f"Bearer {self.key}"}


class VllmServer:
    """A running server; ``wait`` before the first request."""

    def __init__(self, launch: Launch) -> None:
        """Start the process."""
        self.launch = launch
        port = free_port()
        self.address = Address(f"http://127.0.0.1:{port}", secrets.token_urlsafe(32), context=0)
        settings = {**ENVIRONMENT, KEY: self.address.key, DEV_MODE: "1"}
        if launch.devices is not None:
            settings["CUDA_VISIBLE_DEVICES"] = ",".join(launch.devices)
        env = without_launch(environment(**settings))  # vLLM reads such variables as its own
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
            if (code := self._process.poll()) is not None:
                raise ModelError(
                    f"{self._expected}, got one that ended with code {code}{self._said}"
                )
            if time.monotonic() > deadline:
                raise ModelError(f"{self._expected}, got none within {PATIENCE:.0f} s{self._said}")
            time.sleep(0.2)
        (model,) = self._call("GET", "/v1/models")["data"]
        self.address = replace(self.address, context=int(model["max_model_len"]))

    def healthy(self) -> bool:
        """Whether the server and its engine live."""
        if self._process.poll() is not None:
            return False
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
        self._call(
            "POST", "/collective_rpc", {"method": "take_policy", "args": [str(weights.resolve())]}
        )
        self._call("POST", "/reset_prefix_cache")

    def stop(self) -> None:
        """End the server and every process of it."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(ENDING)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

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
        if not answer.is_success:
            raise Broken(f"{path}: {answer.status_code} {answer.text[:200]}")
        return answer.json() if answer.content else None

    @property
    def _expected(self) -> str:
        return f"Expected a vLLM server with the model {self.launch.model_dir}"

    @property
    def _said(self) -> str:
        """The last line of the log that tells an error, and where the log is."""
        lines = self.launch.log.read_text(encoding="utf-8", errors="replace").splitlines()
        telling = [line for line in lines if "Error" in line] or lines or ["it said nothing"]
        return f" ({telling[-1].strip()}). See {self.launch.log}"
