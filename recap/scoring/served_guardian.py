"""The guardian behind a vLLM server, asked for the log-probabilities of its two answers.

The questions are rendered here, token for token as for a guardian in this process, and the server
reads them through OpenAI's completions API. Its model's name has to be the digest of the guardian's
weights: whoever starts the server says so which model it serves (``recap.sampling.serve`` does, and
so can any vLLM with ``--served-model-name``). The address is an environment variable and no
parameter, since scores do not depend on it, but for rounding. Leaves out instruct models as
guardian or rubric: they are asked for spellings, or for several tokens.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import torch

from recap import processes
from recap.errors import ModelError
from recap.models.places import weights_name
from recap.render import Renderer
from recap.runtime.endpoint import check_private, key_of
from recap.scoring.guardian import KEY
from recap.scoring.yes_no import Answers, Asking
from recap.types.origins import SERVED_GUARDIAN

AT_ONCE = 64
"""Questions under way; the server batches them."""
PATIENCE = 600.0
"""Seconds for an answer."""


class ServedGuardian(Asking):
    """A guardian model that a server has; ``pairs`` are (prompt, response)."""

    def __init__(self, url: str, key: str, name: str, renderer: Renderer, context: int) -> None:
        """``name``: of the model in requests, which says its weights.

        Raises ModelError unless the server has a model of that name.
        """
        super().__init__(renderer, context)
        self._url, self._name = url, name
        self._headers = {"Authorization": f"Bearer {key}"}
        limits = httpx.Limits(max_connections=AT_ONCE)
        self._client = httpx.Client(limits=limits, timeout=PATIENCE, trust_env=False)
        served = [model["id"] for model in self._call("GET", "/v1/models")["data"]]
        if name not in served:
            raise ModelError(
                f"Expected the guardian at {url} to name the weights of this run's guardian, "
                f"{name}, got {' and '.join(served)}. Start it with `python -m "
                f"recap.sampling.serve`, or vLLM with --served-model-name {name}."
            )

    def _read(self, questions: Sequence[Sequence[int]], risk_name: str) -> Answers:
        read = self._odds if risk_name == "harm" else self._likeliest
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(read, questions))
        odds = [each if risk_name == "harm" else math.nan for each in found]
        tokens = [-1 if risk_name == "harm" else int(each) for each in found]
        return Answers(torch.tensor(odds, dtype=torch.float64), torch.tensor(tokens))

    def _odds(self, question: Sequence[int]) -> float:
        """Log P(Yes) - log P(No): the server weighs these two alone."""
        both = {self._yes, self._no}
        choice = self._ask_one(question, temperature=1.0, logprobs=2, allowed_token_ids=[*both])
        (told,) = choice["logprobs"]["top_logprobs"]
        heard = {int(name.removeprefix("token_id:")): value for name, value in told.items()}
        if heard.keys() != both or not all(map(math.isfinite, heard.values())):
            raise ModelError(
                f"Expected the guardian at {self._url} to tell the log-probabilities of tokens "
                f"{sorted(both)}, got those of {sorted(heard)}. Start its server with "
                "--logprobs-mode processed_logprobs, as `python -m recap.sampling.serve` does."
            )
        return heard[self._yes] - heard[self._no]

    def _likeliest(self, question: Sequence[int]) -> int:
        (token,) = self._ask_one(question, temperature=0.0)["token_ids"]
        return int(token)

    def _ask_one(self, question: Sequence[int], **settings: Any) -> Any:
        request = {
            "model": self._name,
            "prompt": list(question),
            "max_tokens": 1,
            "seed": 0,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
        }
        (choice,) = self._call("POST", "/v1/completions", request | settings)["choices"]
        return choice

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        expected = f"Expected an answer of the guardian at {self._url} ({SERVED_GUARDIAN})"
        try:
            answer = self._client.request(
                method, self._url + path, headers=self._headers, json=body
            )
        except httpx.TransportError as error:
            raise ModelError(f"{expected}, got none: {error!r}.") from error
        if not answer.is_success:
            raise ModelError(f"{expected}, got {answer.status_code} {answer.text[:200]}.")
        return answer.json()


def served_guardian(directory: Path, address: str, renderer: Renderer) -> ServedGuardian:
    """The guardian of ``directory`` behind a server.

    Raises ParameterError for an address that may not be asked or a missing key, ModelError for a
    server of another model.
    """
    url = check_private(address, SERVED_GUARDIAN)
    key = key_of(KEY, f"the guardian at {url}", f", or unset {SERVED_GUARDIAN}")
    name = processes.from_main(weights_name(directory) if processes.is_main() else "")
    context = int(json.loads((directory / "config.json").read_text())["max_position_embeddings"])
    if processes.is_main():
        print(f"asking the guardian at {url}", file=sys.stderr)
    return ServedGuardian(url, key, name, renderer, context)
