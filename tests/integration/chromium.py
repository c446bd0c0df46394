"""A headless Chromium driven over its DevTools protocol: what a page says, shows and looks like.

Just what the report's tests need: one page at a time, its console and exceptions, an expression,
a picture. Waits end with a message; nothing is fetched but the given file.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.waiting import until

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60.0
"""Seconds for the browser to start, and for each answer."""


def browser() -> str | None:
    """The path of a Chromium, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def missing() -> str | None:
    """Why browser tests cannot run here; ``None`` if they can.

    In CI, on a machine where one could have been installed, there is no excuse.
    """
    if browser() is not None:
        return None
    installable = os.geteuid() == 0 and shutil.which("apt-get") is not None
    return (
        None
        if os.environ.get("CI") and installable
        else "needs a Chromium (apt-get install chromium)"
    )


@dataclass
class Page:
    """A page in its tab; ``said`` collects console messages, log entries and exceptions."""

    socket: ClientConnection
    said: list[str] = field(default_factory=list)
    number: int = 0

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Ask the browser and wait for its answer; events that pass by are kept in ``said``."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": arguments}))
        while True:
            answer = json.loads(self.socket.recv(timeout=PATIENCE))
            self._note(answer)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                found: dict[str, Any] = answer["result"]
                return found

    def open(self, path: Path, *, width: int, dark: bool = False, scripts: bool = True) -> None:
        """Load a file at a width, in light or dark, and wait until it is laid out."""
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.navigate", url=path.as_uri())
        loaded = "document.readyState + location.protocol == 'completefile:'"
        until(lambda: bool(self.evaluate(loaded)), seconds=PATIENCE, pause=0.05)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, path: Path, clip: dict[str, float] | None = None) -> None:
        """A PNG of the visible part, or of ``clip`` (x, y, width, height in the whole page)."""
        more = {"clip": {**clip, "scale": 1}, "captureBeyondViewport": True} if clip else {}
        shot = self.call("Page.captureScreenshot", format="png", **more)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _note(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled":
                self.said.append(f"console.{told['type']}: {told['args']}")
            case "Runtime.exceptionThrown":
                self.said.append(f"exception: {told['exceptionDetails']}")
            case "Log.entryAdded":
                self.said.append(f"{told['entry']['level']}: {told['entry']['text']}")


@contextlib.contextmanager
def chromium() -> Iterator[Page]:
    """A browser of its own, without a profile, ended with the block."""
    path = browser()
    assert path is not None, "Expected a Chromium, found none: apt-get install chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
             "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with connect(_address(Path(profile), process), max_size=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            process.wait()


def _address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """The web socket of the first tab, once the browser has written its port down."""
    found: list[str] = []

    def opened() -> bool:
        with contextlib.suppress(OSError, ValueError, StopIteration, IndexError):
            port = (profile / "DevToolsActivePort").read_text().split()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                tabs = json.load(answer)
            found.append(next(t["webSocketDebuggerUrl"] for t in tabs if t["type"] == "page"))
        return bool(found)

    ended = "Expected the browser to run, it ended."
    assert until(opened, unless=lambda: process.poll() is not None, seconds=PATIENCE, pause=0.1), (
        ended
    )
    return found[0]
