"""A Prefect API for as long as one command lives, on 127.0.0.1 and for it alone, if none is named.

Prefect could start one by itself; here it starts before Prefect's client is imported (both take
seconds), dies with its parent even by SIGKILL, and two commands at once make one database
(docs/decisions/0019-prefect.md).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from recap.errors import PipelineError
from recap.runtime import child
from recap.runtime.locks import exclusive
from recap.runtime.ports import free_port

HOME = Path(".recap/prefect")
PATIENCE = 300.0
"""Seconds until a server that does not answer counts as failed; 5 to 20 are usual."""
SETTINGS = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the flow prints its own lines
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
}


def start_api() -> Callable[[], None]:
    """Set the environment for Prefect's client and start an API; call before importing Prefect.

    Returns a function that waits until the API answers, so that the caller can import meanwhile. A
    server named by PREFECT_API_URL is used as it is. Two commands started at once start theirs one
    after the other, since both would make the clone's one database. The API stops after Prefect has
    sent its last log lines at exit: what was registered first runs last.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    child.spare_this_machine(os.environ)
    if os.environ.get("PREFECT_API_URL"):
        return lambda: None
    home = HOME.resolve()
    home.mkdir(parents=True, exist_ok=True)  # Prefect itself makes no parents
    os.environ.setdefault("PREFECT_HOME", str(home))
    alone = contextlib.ExitStack()
    alone.enter_context(exclusive(home / "start.lock"))
    port = free_port()
    os.environ["PREFECT_API_URL"] = url = f"http://127.0.0.1:{port}/api"
    # Whoever may reach the port is no friend yet: the word is this command's and its children's.
    os.environ["PREFECT_API_AUTH_STRING"] = word = f"recap:{secrets.token_urlsafe(32)}"
    with (home / "server.log").open("w", encoding="utf-8") as log:
        server = child.start(
            [
                *("-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"),
                *("--host", "127.0.0.1", "--port", str(port), "--log-level", "error"),
                *("--timeout-graceful-shutdown", "3"),  # a killed client leaves sockets open
            ],
            env=child.environment(
                PREFECT_SERVER_API_AUTH_STRING=word,
                PREFECT_UI_ENABLED="0",
                PREFECT__SERVER_EPHEMERAL="1",
                PREFECT__SERVER_FINAL="1",
            ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C is for the flow, which still has states to report
        )
    atexit.register(_stop, server)

    def wait_until_up() -> None:
        with alone:
            _wait_until_up(server, url, home / "server.log")

    return wait_until_up


def _stop(server: subprocess.Popen[str]) -> None:
    server.terminate()
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _wait_until_up(server: subprocess.Popen[str], url: str, log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with direct.open(f"{url}/health", timeout=5):
                return
        except OSError:  # URLError is one
            time.sleep(0.1)
    code = server.poll()
    why = f"none within {PATIENCE:.0f} s" if code is None else f"one that ended with code {code}"
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise PipelineError(
        f"Expected a Prefect server at {url}, got {why} "
        f"({''.join(last) or 'it said nothing'}). See {log}; if its database is broken, delete "
        f"{log.parent} (it holds only past runs' states). `dvc repro` needs no server."
    )
