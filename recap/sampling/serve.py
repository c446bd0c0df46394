"""``python -m recap.sampling.serve MODEL --host NAME``: vLLM servers for runs on other machines.

It starts servers on the GPUs that it sees, at consecutive ports, waits until they answer, prints
the address of each in a line that a shell can read, and ends with any of them or when it is told
to. They serve MODEL until a run gives them its own weights of the same shape, from a folder that
both see at the same path; they do so for whoever has the key in RECAP_SERVERS_KEY. A guardian is
served likewise, to runs that find it in RECAP_GUARDIAN. Without TLS: for a network whose machines
trust each other, or behind a tunnel.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import NoReturn

from recap.errors import ModelError, ParameterError, RecapError
from recap.models.places import weights_folder, weights_name
from recap.params.sampling import Servers
from recap.runtime.child import THIS_MACHINE
from recap.runtime.endpoint import addresses, check_private, key_of
from recap.sampling.given_servers import ADDRESSES, KEY
from recap.sampling.vllm_sampler import check_installed, check_place, read_config
from recap.sampling.vllm_server import (
    Launch,
    VllmServer,
    new_folder,
    remove_left,
    served_precision,
    server_devices,
)

LOOK = 1.0
"""Seconds between two looks at whether all servers live."""


def serve(model_dir: Path, servers: Servers, host: str, port: int, batch_size: int) -> NoReturn:
    """Serve until a signal; raises ModelError when a server ends before."""
    check_installed()
    check_place()
    check_private(f"http://{host}:{port}", "--host")
    if host not in THIS_MACHINE and any(ip_address(each).is_loopback for each in addresses(host)):
        raise ParameterError(
            f"--host: expected a name by which other machines reach this one, got {host}, which is "
            "a loopback address here (/etc/hosts). Give this machine's address."
        )
    key = key_of(KEY, "the servers", "; any long random word will do")
    devices = server_devices(servers, 0)
    dtype = served_precision(read_config(model_dir), on_gpu=devices[0] is not None)
    name = weights_name(model_dir)
    remove_left()
    folder = new_folder()
    running: list[VllmServer] = []
    try:
        for number, own in enumerate(devices):
            launch = Launch(
                model_dir=weights_folder(model_dir),
                dtype=str(dtype).removeprefix("torch."),
                batch_size=batch_size,
                tensor_parallel=servers.tensor_parallel,
                devices=own,
                log=folder / f"server-{number}.log",
                host=host,
                name=name,
            )
            running.append(VllmServer(launch, port + number, key))
        for server in running:
            server.wait()
        print(f"export {ADDRESSES}={','.join(server.address.url for server in running)}")
        sys.stdout.flush()
        while True:
            for server in running:
                if (code := server.ended()) is not None:
                    raise ModelError(
                        f"Expected the server at {server.address.url} to live, got its end with "
                        f"code {code}. See {server.launch.log}."
                    )
            time.sleep(LOOK)
    finally:
        for server in running:
            server.stop()


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError(text)
    return value


def _leave(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m recap.sampling.serve", description=__doc__)
    parser.add_argument("model", type=Path, help="model directory of the served shape")
    parser.add_argument("--host", required=True, help="this machine's name, as others reach it")
    parser.add_argument("--port", type=_count, default=8000, help="of the first server")
    parser.add_argument("--count", type=_count, default=1, help="servers")
    parser.add_argument("--tensor-parallel", type=_count, default=1, help="GPUs of each")
    parser.add_argument("--batch-size", type=_count, default=256, help="sequences at once in one")
    asked = parser.parse_args(arguments)
    servers = Servers(count=asked.count, tensor_parallel=asked.tensor_parallel)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    serve(asked.model, servers, asked.host, asked.port, asked.batch_size)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except RecapError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
