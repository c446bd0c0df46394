"""A pulled version under vLLM's own server: over HTTP it answers what the pulled weights answer.

Locks: 1. vLLM serves the folder as it is; 2. a prefill in the request is continued, as ids and as
text by the folder's chat template.
"""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from recap.render import Renderer
from recap.runtime.child import environment, start
from recap.runtime.ports import free_port
from recap.sampling.vllm_sampler import ENVIRONMENT
from recap.tracking.pull import pull, registered
from tests.integration.needs_vllm import NEEDS_VLLM
from tests.waiting import until_served

pytestmark = NEEDS_VLLM

TOKENS = 12
QUESTION, PREFILL = "how do i", "i should"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, champion: Path) -> Path:
    out = tmp_path_factory.mktemp("served") / "pulled"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        pull(champion, registered(champion, "champion"), out)
    return out


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """`python -m vllm.entrypoints.openai.api_server`: `vllm serve` wants the CUDA build's name."""
    port = free_port()
    log = folder.parent / "server.log"
    with log.open("w") as stream:
        process = start(
            [
                *("-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)),
                *("--served-model-name", "policy", "--host", "127.0.0.1", "--port", str(port)),
                *("--dtype", "float32", "--enforce-eager", "--generation-config", "vllm"),
            ],
            env=environment(**ENVIRONMENT),
            stdout=stream,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    try:
        until_served(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def asked(url: str, **body: Any) -> Any:
    greedy = {"model": "policy", "max_tokens": TOKENS, "temperature": 0.0}
    request = urllib.request.Request(
        url,
        json.dumps(greedy | body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        (choice,) = json.load(answer)["choices"]
    return choice


def test_it_answers_as_the_pulled_weights_do(server: str, folder: Path) -> None:
    renderer = Renderer.from_dir(folder)
    ids = renderer.prompt(QUESTION, PREFILL).token_ids
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.inference_mode():
        drawn = model.generate(torch.tensor([ids]), max_new_tokens=TOKENS, do_sample=False)
    expected = renderer.tokenizer.decode(drawn[0, len(ids) :], skip_special_tokens=True).strip()
    by_ids = asked(f"{server}/completions", prompt=list(ids))
    assert by_ids["text"].strip() == expected
    bare = asked(f"{server}/completions", prompt=list(renderer.prompt(QUESTION).token_ids))
    assert bare["text"].strip() != expected  # the prefill is heard
    by_text = asked(
        f"{server}/chat/completions",
        messages=[
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": f"<think> {PREFILL}"},
        ],
        continue_final_message=True,
        add_generation_prompt=False,
    )
    assert by_text["message"]["content"].strip() == expected
