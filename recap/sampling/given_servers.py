"""vLLM servers that somebody else started, on this machine or others: found, claimed, asked.

``python -m recap.sampling.serve`` starts them. Two environment variables have their addresses and
their key, so that a result, which does not depend on them, is not made again when they move. They
read weights from a folder at the same path here and there. Leaves out which prompts a server gets
(recap/sampling/server_sampler.py) and two runs at once, which the servers themselves refuse
(``OneOwner``).
"""

from __future__ import annotations

import os
import secrets
import time

import torch

from recap.errors import ModelError, ParameterError
from recap.params.sampling import Servers
from recap.runtime.endpoint import check_private, key_of
from recap.sampling.vllm_server import PATIENCE, Address, Broken, Server

ADDRESSES = "RECAP_SERVERS"
"""Environment variable: the servers' addresses (http://node2:8000), commas or blanks between."""
KEY = "RECAP_SERVERS_KEY"
"""Environment variable: the key that all of them ask for."""
AGAIN = 60.0
"""Seconds that a server which answered before has to answer again."""
SECTION = "servers.elsewhere"


class GivenServer(Server):
    """A server that another process started and ends."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._patience = PATIENCE

    def wait(self) -> None:
        """Wait until the server answers, and claim it; raises ModelError when it does not.

        The first time it may still be loading a model.
        """
        deadline = time.monotonic() + self._patience
        while not self.healthy():
            if time.monotonic() > deadline:
                raise ModelError(
                    f"Expected a vLLM server at {self.address.url} ({ADDRESSES}), got no answer "
                    f"that says it is well within {self._patience:.0f} s. Start it there with "
                    f"`python -m recap.sampling.serve`, with the same {KEY}."
                )
            time.sleep(0.2)
        self._patience = AGAIN
        try:
            self.precision = getattr(torch, self.each("precision")[0].removeprefix("torch."))
            """Of the served weights."""
            self.read_context()
        except Broken as broken:
            raise ModelError(
                f"Expected a vLLM server that `python -m recap.sampling.serve` started at "
                f"{self.address.url}, got {broken}."
            ) from broken


def addresses(servers: Servers) -> list[Address]:
    """Where the servers of the environment are, with a name for this run as their owner.

    Raises ParameterError unless there are ``servers.count``, each on this machine or in a private
    network, and the key.
    """
    named = os.environ.get(ADDRESSES, "").replace(",", " ").split()
    urls = list(dict.fromkeys(named))
    if len(urls) != servers.count:
        raise ParameterError(
            f"Expected the addresses of {servers.count} vLLM servers (servers.count) in the "
            f"environment variable {ADDRESSES}, since {SECTION} is set, got {len(urls)}. Set "
            f"it (http://HOST:8000,…; `python -m recap.sampling.serve` prints it), or {SECTION} to "
            "false."
        )
    checked = [check_private(url, ADDRESSES) for url in urls]
    key = key_of(KEY, f"the vLLM servers in {ADDRESSES}", f", or {SECTION} to false")
    owner = secrets.token_hex(8)
    return [Address(url, key, context=0, owner=owner) for url in checked]
