"""The Prefect API of one command: what others on the machine can do with it.

Locks: 1. it listens on 127.0.0.1 alone; 2. who does not have the command's word is refused, by
HTTP and by websocket, and the word is in no file and on no command line; 3. the command itself is
served.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from recap.runtime.child import start
from tests.integration.flow_project import child_environment

COMMAND = """
import os, sys
from flows.server import start_api
start_api()()
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    client.read_work_pools()
print(os.environ["PREFECT_API_URL"], os.environ["PREFECT_API_AUTH_STRING"], flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_it_serves_its_command_alone(tmp_path: Path) -> None:
    command = start(
        ["-c", COMMAND],
        cwd=tmp_path,
        env=child_environment(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert command.stdin is not None and command.stdout is not None
    try:
        url, word = command.stdout.readline().split()
        family = psutil.Process(command.pid).children(recursive=True)
        listening = {
            connection.laddr.ip
            for process in family
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}
        lines = [" ".join(process.cmdline()) for process in family]
        secret = word.removeprefix("recap:")
        assert len(secret) > 40 and not [line for line in lines if secret in line]
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert files and not [path for path in files if secret.encode() in path.read_bytes()]
        for who in (None, ("recap", "wrong"), ("admin", "")):
            for asked in ("flow_runs/filter", "deployments/filter", "admin/settings"):
                method = "GET" if asked.startswith("admin") else "POST"
                got = httpx.request(method, f"{url}/{asked}", auth=who, json={}, trust_env=False)
                assert got.status_code == 401, (asked, who)
        user, _, password = word.partition(":")
        flows = httpx.post(f"{url}/flows/filter", auth=(user, password), json={}, trust_env=False)
        assert flows.status_code == 200
        events = f"{url.replace('http', 'ws')}/events/in"
        with connect(events, subprotocols=["prefect"], proxy=None) as socket:  # type: ignore[list-item]
            socket.send(json.dumps({"type": "auth", "token": "wrong"}))
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=60)
    finally:
        command.stdin.close()
        command.wait(60)
