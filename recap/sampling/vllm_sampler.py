"""Sampling with vLLM, in this process: generation at scale, on a GPU or with the CPU build.

Token ids in and out, so that nothing is rendered twice. Leaves out serving, and refreshing weights:
on CPUs a refresh is silently without effect, so an engine keeps the weights it was built with.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recap.errors import ModelError, ParameterError
from recap.params import derive_seed
from recap.render import Renderer
from recap.sampling.sampler import WHOLE, check_decoding
from recap.types import Decoding, FinishReason, RenderedPrompt, Sample

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput

ENVIRONMENT = {
    # The engine runs in this process: no orphan when it dies, no port.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    # CPU build: one thread that is not pinned to a core shares a machine best.
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}


class VllmSampler:
    """Samples from a model directory. The engine is built at the first call."""

    def __init__(self, model_dir: Path, batch_size: int = 256) -> None:
        """``batch_size`` bounds the sequences side by side; ModelError without a model there."""
        if not (model_dir / "config.json").is_file():
            raise ModelError(
                f"Expected a model directory with config.json at {model_dir}, found none. "
                "Run the stage that makes it, or correct the path."
            )
        config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
        self._context = int(config["max_position_embeddings"])
        self._eos = Renderer.from_dir(model_dir).eos_id
        self._model_dir, self._batch_size = model_dir, batch_size
        self._engine: LLM | None = None
        self._mode: str | None = None

    def sample(
        self,
        prompts: Sequence[RenderedPrompt],
        decoding: Decoding,
        *,
        num_samples: int,
        seed: int,
        part: slice = WHOLE,
    ) -> list[list[Sample]]:
        """``num_samples`` samples for each prompt in ``prompts[part]``, in the prompts' order.

        Raises ParameterError where vLLM cannot say the log-probabilities at the temperature and
        before top-p: it takes them before both or after both.
        """
        check_decoding(decoding, num_samples)
        engine = self._open(_logprobs_mode(decoding))
        from vllm import SamplingParams, TokensPrompt

        wanted = range(len(prompts))[part]
        fitting = [i for i in wanted if len(prompts[i].token_ids) < self._context]
        outputs = engine.generate(
            [TokensPrompt(prompt_token_ids=list(prompts[i].token_ids)) for i in fitting],
            [
                SamplingParams(
                    n=num_samples,
                    temperature=decoding.temperature,
                    top_p=decoding.top_p,
                    max_tokens=min(decoding.max_tokens, self._context - len(prompts[i].token_ids)),
                    logprobs=0,
                    stop_token_ids=[self._eos],
                    detokenize=False,
                    seed=derive_seed(seed, "row", i),
                )
                for i in fitting
            ],
            use_tqdm=False,
        )
        groups = {i: [Sample((), (), "overflow")] * num_samples for i in wanted}
        for index, output in zip(fitting, outputs, strict=True):
            groups[index] = _samples(output)
        return list(groups.values())

    def _open(self, mode: str) -> LLM:
        if self._engine is not None:
            if mode != self._mode:
                raise ParameterError(
                    f"Expected one kind of decoding per engine, got {mode} after {self._mode} "
                    "log-probabilities. Open another sampler for the other temperature."
                )
            return self._engine
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import torch
        from vllm import LLM

        on_gpu = torch.cuda.is_available()
        self._mode = mode
        self._engine = LLM(
            model=str(self._model_dir),
            dtype="auto" if on_gpu else "float32",
            max_model_len=self._context,
            max_num_seqs=self._batch_size,
            enforce_eager=not on_gpu,
            logprobs_mode=mode,
            generation_config="vllm",
            trust_remote_code=False,
            load_format="safetensors",
            disable_log_stats=True,
        )
        return self._engine


def _logprobs_mode(decoding: Decoding) -> str:
    if decoding.temperature == 1.0:
        return "raw_logprobs"
    if decoding.top_p == 1.0:
        return "processed_logprobs"
    raise ParameterError(
        "Expected temperature 1 or top_p 1 with the engine vllm, got "
        f"{decoding.temperature} and {decoding.top_p}. Change one of them or set "
        "sampling.engine to torch."
    )


def _samples(output: RequestOutput) -> list[Sample]:
    samples = []
    for completion in sorted(output.outputs, key=lambda completion: completion.index):
        token_ids = tuple(completion.token_ids)
        logprobs = tuple(
            entry[token].logprob
            for token, entry in zip(token_ids, completion.logprobs or (), strict=True)
        )
        assert all(map(math.isfinite, logprobs))
        reason: FinishReason = "stop" if completion.finish_reason == "stop" else "length"
        samples.append(Sample(token_ids, logprobs, reason))
    return samples
