"""What a vLLM server takes from us: a guard for all its paths, and a way to take new weights.

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

Message = MutableMapping[str, Any]


class KeyForEverything:
    """ASGI middleware: a request to any path needs the key, or gets 401 and no word."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        """Raises KeyError without a key: a server that everybody may ask does not start."""
        self._app = app
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
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})


class TakesPolicies:
    """Methods that every worker of a server gets; ``/collective_rpc`` calls them by name."""

    def take_policy(self, folder: str) -> None:
        """Serve the weights in ``folder`` from now on; nothing may be generated meanwhile."""
        from recap.sampling.vllm_sampler import repack_head

        self.reload_weights(weights_path=folder)  # type: ignore[attr-defined]  # the worker's
        model: nn.Module = self.get_model()  # type: ignore[attr-defined]  # the worker's
        repack_head(model)
