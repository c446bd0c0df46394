"""A completion of which a test says what matters to it. Not a test."""

from __future__ import annotations

from typing import Any

from recap.types.attacks import Completion

PLAIN: dict[str, Any] = {
    "prompt_id": "p",
    "benchmark": "b",
    "attack": "direct",
    "place": 1,
    "sample": 0,
    "domain": "harmful",
    "cluster": None,
    "prompt": "how ?",
    "target": None,
    "prefill": None,
    "prefill_source": None,
    "num_prefill_tokens": 0,
    "cot": "",
    "finish_reason": "stop",
    "num_cot_tokens": 0,
    "num_response_tokens": 1,
}


def make_completion(response: str | None, **said: Any) -> Completion:
    """One answer to one attack; what is not said is plain."""
    return Completion(**(PLAIN | {"response": response} | said))
