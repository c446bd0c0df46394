"""A hub for tests: what huggingface_hub asks for, of repositories at one revision. Not a test."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REVISION = "0123456789abcdef0123456789abcdef01234567"
GATED = "org/gated"
"""A data set that nobody may read."""


@contextmanager
def serving_hub(
    kind: str, name: str, files: Mapping[str, bytes]
) -> Iterator[tuple[str, list[str]]]:
    """The address, and the paths asked for so far; ``kind``: models or datasets."""
    asked: list[str] = []
    api = f"/api/{kind}/{name}"
    resolve = f"{'' if kind == 'models' else f'/{kind}'}/{name}/resolve/{REVISION}/"

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path.startswith(f"{api}/revision/{REVISION}"):
                siblings = [{"rfilename": file} for file in files]
                said = {"id": name, "sha": REVISION, "siblings": siblings}
                self.answer(json.dumps(said).encode(), "api")
            elif self.path.startswith(f"{api}/tree/{REVISION}"):
                tree = [
                    {"type": "file", "oid": file, "size": len(data), "path": file}
                    for file, data in files.items()
                ]
                self.answer(json.dumps(tree).encode(), "tree")
            elif self.path.startswith(resolve):
                file = self.path.removeprefix(resolve)
                self.answer(files[file], file)
            elif GATED in self.path:
                self.answer(b"{}", "no", status=403, **{"X-Error-Code": "GatedRepo"})
            else:
                self.answer(b"{}", "no", status=404, **{"X-Error-Code": "RepoNotFound"})

        def answer(self, data: bytes, tag: str, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{tag}"')
            self.send_header("X-Repo-Commit", REVISION)
            for header, value in headers.items():
                self.send_header(header, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the test's output is its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
