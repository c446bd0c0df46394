"""What a vLLM server takes from us: guards for its paths, and a way to take new weights.

vLLM loads both by their names (``--middleware``, ``--worker-extension-cls``) in the server's own
processes. Leaves out starting servers and asking them (recap/sampling/server_sampler.py).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

KEY = "VLLM_API_KEY"
"""Environment variable of the key. vLLM's own guard leaves out the paths that take weights."""
CLOSED = 1008
"""Code of a websocket that a policy closes (RFC 6455, 7.4.1)."""
OWNER = "recap-owner"
"""Header: whose weights a request is about. A stage's own servers need none."""
TAKEN = 409
"""Status of a request about weights that are not, or no longer, the ones served."""

Message = MutableMapping[str, Any]


class KeyForEverything:
    """ASGI middleware: a request to any path needs the key, or gets 401 and no word."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        """Raises KeyError without a key: a server that everybody may ask does not start."""
        self._app = OneOwner(app)
        self._expected = f"Bearer {os.environ[KEY]}".encode()

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Pass on what belongs to the server's life or carries the key; refuse the rest."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        if secrets.compare_digest(given, self._expected):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": CLOSED})
        else:
            await _answer(send, 401, b"")


class OneOwner:
    """ASGI middleware: samples come from the weights of whoever asks for them, or 409 does.

    Whoever gives a server weights owns it until another one does, which has to wait until nothing
    is being generated. So two runs that share a server can get in each other's way, but never get
    each other's samples.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app
        self._owner = b""
        self._busy = 0

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Pass a request on, unless it would get other weights or change them under another."""
        path = scope.get("path", "")
        owner = dict(scope.get("headers", ())).get(OWNER.encode(), b"")
        if path == "/collective_rpc":
            if self._busy:
                await _answer(send, TAKEN, b"another run is using this server")
                return
            self._owner = owner
        elif not path.startswith("/v1/completions"):
            await self._app(scope, receive, send)
            return
        elif owner != self._owner:
            await _answer(send, TAKEN, b"another run has given this server its own weights")
            return
        self._busy += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._busy -= 1


async def _answer(send: Callable[[Message], Awaitable[None]], status: int, text: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": text})


class TakesPolicies:
    """Methods that every worker of a server gets; ``/collective_rpc`` calls them by name."""

    def precision(self) -> str:
        """That of the served weights."""
        return str(self.model_config.dtype)  # type: ignore[attr-defined]  # the worker's

    def take_policy(self, folder: str) -> None:
        """Serve the weights in ``folder`` from now on; nothing may be generated meanwhile."""
        from recap.sampling.vllm_sampler import repack_head

        self.reload_weights(weights_path=folder)  # type: ignore[attr-defined]  # the worker's
        model: nn.Module = self.get_model()  # type: ignore[attr-defined]  # the worker's
        repack_head(model)
