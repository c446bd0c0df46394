"""Sampling through vLLM servers: several GPUs side by side, each with its engine.

They start at the first call on this machine and end with this process, or somebody else started
them elsewhere (recap/sampling/given_servers.py). A server that dies is started anew, or waited for
where it is not ours, gets the weights that the others serve, and only what it had not answered is
asked again. Samples depend on a prompt's place in the call, not on the server that draws them. New
weights go through files, which every build of vLLM reads, whatever its devices. Where several
processes train one policy, the main one has the servers, all ask them, and every call is made by
all. Leaves out whether servers serve the weights that they were given
(recap/sampling/policy_sampler.py).
"""

from __future__ import annotations

import asyncio
import atexit
import math
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import torch

from recap import processes
from recap.errors import ModelError
from recap.models.places import weights_folder
from recap.models.weights import save_parameters
from recap.params.sampling import Servers
from recap.params.seeds import derive_seed
from recap.render import Renderer
from recap.sampling.given_servers import GivenServer, addresses
from recap.sampling.sampler import WHOLE, check_decoding, finish_reason
from recap.sampling.vllm_extension import TAKEN
from recap.sampling.vllm_sampler import (
    check_installed,
    check_place,
    check_room,
    logprobs_of,
    read_config,
)
from recap.sampling.vllm_server import (
    NAME,
    Address,
    Broken,
    Launch,
    Server,
    VllmServer,
    new_folder,
    remove_left,
    served_precision,
    server_devices,
    taken,
)
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding, Sample

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MAX_RESTARTS = 3
"""Deaths of servers in one stage, all together, after which it ends."""
CONNECTIONS = 256
"""Requests under way at one server; each is a prompt with all of its samples."""
LONGEST = 3600.0
"""Seconds after which an unanswered request counts as lost with its server."""


class ServerSampler:
    """Samples from a model directory, or from the policy that it was last given."""

    def __init__(
        self,
        model_dir: Path,
        servers: Servers,
        *,
        batch_size: int = 256,
        first_device: int = 0,
    ) -> None:
        """``batch_size`` bounds the sequences side by side in each server that is started here.

        ``first_device``: how many of this machine's GPUs belong to others (the trainers). Raises
        ModelError without a model there, ParameterError without vLLM, with too few GPUs, or where
        the environment does not name the servers that are elsewhere.
        """
        config = read_config(model_dir)
        self.dtype = torch.float32
        """The precision of the served weights, known once servers run that are elsewhere."""
        self._given: list[Address] = []
        self._devices: list[tuple[str, ...] | None] = []
        if servers.elsewhere:
            self._given = addresses(servers) if processes.is_main() else []
        else:
            check_installed()
            check_place()
            self._devices = server_devices(servers, first_device)
            self.dtype = served_precision(config, on_gpu=self._devices[0] is not None)
        self._context = int(config["max_position_embeddings"])
        self._stop_ids = Renderer.from_dir(model_dir).turn.stop_ids
        self._model_dir, self._batch_size = model_dir, batch_size
        self._servers = servers
        self._folder = new_folder()
        self._running: list[Server] = []
        self._addresses: list[Address] = []
        self._weights: Path | None = None
        self._syncs = self._restarts = 0
        self._failed = False

    @property
    def replicas(self) -> int:
        """How many servers share a call: prompt i of it goes to number i % replicas."""
        return self._servers.count

    def sample(
        self,
        prompts: Sequence[RenderedPrompt],
        decoding: Decoding,
        *,
        num_samples: int,
        seed: int,
        part: slice = WHOLE,
    ) -> list[list[Sample]]:
        """``num_samples`` samples for each prompt in ``prompts[part]``, in the prompts' order.

        Below top-p 1 they have no log-probabilities. Raises ModelError when a server's memory holds
        less than a prompt with its samples, or servers die too often.
        """
        check_decoding(decoding, num_samples)
        self._open()
        assert self._weights or not self._servers.elsewhere, "nobody has given them weights"
        wanted = range(len(prompts))[part]
        requests = {
            i: self._request(
                prompts[i].token_ids, decoding, num_samples, derive_seed(seed, "row", i)
            )
            for i in wanted
            if len(prompts[i].token_ids) < self._context
        }
        longest = max((len(r["prompt"]) + r["max_tokens"] for r in requests.values()), default=0)
        check_room(longest, min(address.context for address in self._addresses))
        groups = {i: [Sample((), (), "overflow")] * num_samples for i in wanted}
        while True:
            answers = asyncio.run(self._ask(requests))
            for i, answer in answers.items():
                groups[i] = _samples(answer, decoding.max_tokens)
                del requests[i]
            lost = processes.summed({"prompts": len(requests)})["prompts"]
            if not lost:
                return list(groups.values())
            self._revive(f"{lost:.0f} prompts unanswered")

    def conversation(self) -> ServerSampler:
        """The engines keep what they have read by themselves (``--enable-prefix-caching``).

        What goes on from a call may go to another server, which then reads it anew.
        """
        return self

    def sync(self, policy: PreTrainedModel) -> torch.dtype:
        """Serve the policy's weights as they are now, in every server.

        Returns the precision they are served in. Dense models only: the policy's parameters must
        have their checkpoint's names.
        """
        from recap.models.adapter import merged_parameters

        self._open()
        self._syncs += 1
        before, self._weights = self._weights, self._folder / f"weights-{self._syncs:06d}"
        broken: list[Broken] = []
        if processes.is_main():
            save_parameters(merged_parameters(policy), self.dtype, self._weights)
            with ThreadPoolExecutor(self.replicas) as pool:
                given = pool.map(partial(_give, self._weights), self._running)
                broken = [failure for failure in given if failure]
            if before is not None:
                shutil.rmtree(before)
        if why := processes.from_main("; ".join(map(str, broken))):
            self._revive(why)
        return self.dtype

    def close(self) -> None:
        """End this stage's servers and remove their weights; logs too, unless a server failed."""
        for server in self._running:
            if isinstance(server, VllmServer):
                server.stop()
        self._running.clear()
        self._addresses = []
        for weights in self._folder.glob("weights-*"):
            shutil.rmtree(weights)
        if not self._failed:
            shutil.rmtree(self._folder, ignore_errors=True)

    # -- servers ----------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._addresses:
            return
        if processes.is_main():
            self._start()
        self._share()

    def _start(self) -> None:
        remove_left()
        atexit.register(self.close)
        if self._given:
            urls = ", ".join(address.url for address in self._given)
            print(f"asking the vLLM servers {urls} ...", file=sys.stderr)
            self._running += map(GivenServer, self._given)
        else:
            print(f"starting {self.replicas} vLLM servers ({self._folder}) ...", file=sys.stderr)
        for number, devices in enumerate(self._devices):
            launch = Launch(
                model_dir=weights_folder(self._model_dir),
                dtype=str(self.dtype).removeprefix("torch."),
                batch_size=self._batch_size,
                tensor_parallel=self._servers.tensor_parallel,
                devices=devices,
                log=self._folder / f"server-{number}.log",
            )
            self._running.append(VllmServer(launch))
        for server in self._running:
            self._wait(server)
        if given := [server for server in self._running if isinstance(server, GivenServer)]:
            precisions = {server.precision for server in given}
            if len(precisions) > 1:
                raise ModelError(
                    "Expected vLLM servers that serve in one precision, got "
                    f"{' and '.join(sorted(map(str, precisions)))}. Start them alike."
                )
            self.dtype = precisions.pop()

    def _share(self) -> None:
        """Tell all processes where the main one's servers are, and in which precision."""
        here = [server.address for server in self._running], self.dtype
        self._addresses, self.dtype = processes.from_main(here)

    def _revive(self, why: str) -> None:
        """Start dead servers anew, or wait for them, and give them the weights of the others.

        Raises ModelError after too many deaths. Servers that live although one failed are treated
        likewise, if none is dead: nothing says what they serve.
        """
        if processes.is_main():
            dead = [n for n, server in enumerate(self._running) if not server.healthy()]
            numbers = dead or range(len(self._running))
            for number in numbers:
                self._restart(number, why)
            for number in numbers:
                self._wait(self._running[number])
                self._give_again(self._running[number])
        self._share()

    def _restart(self, number: int, why: str) -> None:
        server = self._running[number]
        self._restarts += 1
        place = f"`python -m recap.sampling.serve` of {server.address.url} for its logs"
        if isinstance(server, VllmServer):
            server.stop()
            log = server.launch.log
            place = str(log.replace(log.with_suffix(f".{self._restarts}.log")))
        if self._restarts > MAX_RESTARTS:
            self._failed = True
            raise ModelError(
                f"Expected vLLM servers that live, got {self._restarts} that died ({why}). "
                f"See {place}."
            )
        if isinstance(server, VllmServer):
            print(f"vLLM server {number} died ({why}): started anew", file=sys.stderr)
            self._running[number] = VllmServer(server.launch)
        else:
            print(f"{server.address.url} did not answer ({why}): waited for", file=sys.stderr)

    def _wait(self, server: Server) -> None:
        try:
            server.wait()
        except ModelError:
            self._failed = True
            raise

    def _give_again(self, server: Server) -> None:
        """Have a new server take the weights that the others serve, if any were given."""
        if self._weights is not None and (failure := _give(self._weights, server)):
            self._failed = True
            raise ModelError(
                f"Expected a vLLM server that takes the policy's weights, got {failure}. "
                f"See the logs of {server.address.url}."
            )

    # -- requests ---------------------------------------------------------------------------------

    def _request(
        self, token_ids: Sequence[int], decoding: Decoding, num_samples: int, seed: int
    ) -> dict[str, Any]:
        return {
            "model": NAME,
            "prompt": list(token_ids),
            "n": num_samples,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "max_tokens": min(decoding.max_tokens, self._context - len(token_ids)),
            "logprobs": logprobs_of(decoding),
            "stop_token_ids": list(self._stop_ids),
            "seed": seed,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
        }

    async def _ask(self, requests: dict[int, dict[str, Any]]) -> dict[int, Any]:
        """The answers to all requests but those whose server broke."""
        limits = httpx.Limits(max_connections=CONNECTIONS)
        timeout = httpx.Timeout(LONGEST, pool=None)
        clients = [
            httpx.AsyncClient(
                base_url=address.url,
                headers=address.headers,
                limits=limits,
                timeout=timeout,
                trust_env=False,
            )
            for address in self._addresses
        ]
        try:
            answers = await asyncio.gather(
                *(_answer(clients[i % len(clients)], body) for i, body in requests.items())
            )
        finally:
            for client in clients:
                await client.aclose()
        return {i: a for i, a in zip(requests, answers, strict=True) if a is not None}


async def _answer(client: httpx.AsyncClient, body: dict[str, Any]) -> Any:
    """A server's answer; ``None`` when it broke. Raises ModelError for a refused request."""
    try:
        answer = await client.post("/v1/completions", json=body)
    except httpx.TransportError:
        return None
    if answer.is_server_error:
        return None
    if answer.status_code == TAKEN:
        raise ModelError(taken(str(client.base_url), answer.text))
    if not answer.is_success:
        raise ModelError(
            f"Expected samples of {len(body['prompt'])} + {body['max_tokens']} tokens from vLLM, "
            f"got a refusal: {answer.status_code} {answer.text[:300]}"
        )
    return answer.json()


def _samples(answer: Any, max_tokens: int) -> list[Sample]:
    samples = []
    for choice in sorted(answer["choices"], key=lambda choice: choice["index"]):
        token_ids = tuple(choice["token_ids"])
        told = choice["logprobs"]
        logprobs = tuple(told["token_logprobs"]) if told else ()
        assert told is None or len(logprobs) == len(token_ids)
        assert all(map(math.isfinite, logprobs))
        reason = finish_reason(choice["finish_reason"] == "stop", len(token_ids), max_tokens)
        samples.append(Sample(token_ids, logprobs, reason))
    return samples


def _give(weights: Path, server: Server) -> Broken | None:
    """Have a server take a folder of weights; what broke is returned."""
    try:
        server.take(weights)
    except Broken as broken:
        return broken
    return None
