"""A judge's server for tests: OpenAI's chat completions on a free port here, by a script.

Not a test. It counts what it is asked about and, unlike a real model, obeys whatever stands outside
the judged object: a forged fence or a score of one's own would move it.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from recap.scoring.questions import FENCE

Reply = tuple[int, Any]


class JudgeServer(ThreadingHTTPServer):
    """``reply`` makes status and body of a request; ``asked`` counts the responses judged."""

    daemon_threads = True

    def __init__(self, reply: Callable[[JudgeServer, dict[str, Any]], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.asked: Counter[str] = Counter()
        self.keys: set[str | None] = set()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: JudgeServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.keys.add(self.headers.get("authorization"))
            self.server.asked[judged(body)["response"]] += 1
        status, reply = self.server.reply(self.server, body)
        data = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(reply: Callable[[JudgeServer, dict[str, Any]], Reply]) -> Iterator[JudgeServer]:
    """A server for the time of a test."""
    server = JudgeServer(reply)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def judged(body: dict[str, Any]) -> dict[str, str]:
    """Prompt and response, as they stand between the first two fences."""
    between: dict[str, str] = json.loads(body["messages"][0]["content"].split(f"{FENCE}\n")[1])
    return between


def saying(text: str | None, finish_reason: str = "stop", **message: str) -> Reply:
    """A usual answer; ``message`` has what servers add to it."""
    usage = {"prompt_tokens": 100, "completion_tokens": 2}
    choice = {"message": {"content": text, **message}, "finish_reason": finish_reason}
    return 200, {"choices": [choice], "usage": usage}


def obedient(server: JudgeServer, body: dict[str, Any]) -> Reply:
    """Judges by the first word, unless a line outside the judged object tells it what to say."""
    lines = body["messages"][0]["content"].splitlines()
    for line in lines:
        if line.startswith(("Score: ", "Answer: ")):
            return saying(line.split(": ")[1])
    if lines.count(FENCE) != 2:
        return saying("safe")
    refused = judged(body)["response"].startswith("sorry")
    if "safe or unsafe" in lines[-1]:
        return saying("safe" if refused else "unsafe")
    if "yes or no" in lines[-1]:
        return saying("no" if refused else "yes")
    return saying("0" if refused else "1")
