"""The one door to generation: prompts in, samples out, whichever engine makes them.

What comes back is tied to the sampling policy: the log-probabilities are those of the tokens drawn,
at the sampling temperature, before top-p.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from recap.errors import ParameterError
from recap.params.sampling import Sampling
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding, FinishReason, Sample

WHOLE = slice(None)


class Sampler(Protocol):
    """Anything that can continue token ids."""

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

        The same call gives the same samples. A part is drawn with the random numbers that it has in
        the whole, so that several processes may share a call. Prompt and sample together never
        exceed the model's context; what it cuts off has the finish reason ``overflow``, with no
        token at all where the prompt leaves no room for one.
        """
        ...


class ConversingSampler(Sampler, Protocol):
    """A sampler of fixed weights, whose calls may follow from one another."""

    def conversation(self) -> Sampler:
        """The same samples up to rounding, for calls that go on from one another's.

        A call of it need not read again what the call before has read or written.
        """
        ...


def check_decoding(decoding: Decoding, num_samples: int) -> None:
    """Raise ParameterError unless the decoding can be sampled."""
    if decoding.temperature <= 0 or not 0 < decoding.top_p <= 1:
        raise ParameterError(
            "Expected a temperature above 0 and top_p in (0, 1], got "
            f"{decoding.temperature} and {decoding.top_p}."
        )
    if decoding.max_tokens < 1 or num_samples < 1:
        raise ParameterError(
            "Expected at least one token and one sample, got "
            f"max_tokens {decoding.max_tokens} and {num_samples} samples."
        )


def finish_reason(stopped: bool, num_tokens: int, max_tokens: int) -> FinishReason:
    """Why a sample of so many tokens ended; ``stopped``: its last one ends the text.

    The one place that tells a spent budget from a full context.
    """
    if stopped:
        return "stop"
    return "length" if num_tokens == max_tokens else "overflow"


@contextmanager
def open_sampler(sampling: Sampling, model_dir: Path) -> Iterator[ConversingSampler]:
    """The sampler that ``sampling.engine`` names, with the model of ``model_dir`` loaded.

    Its engine ends with the block, so that a stage may open one after another. Raises ModelError
    when the directory holds no model.
    """
    if sampling.engine == "torch":
        from recap.sampling.torch_sampler import load_torch_sampler

        yield load_torch_sampler(model_dir, sampling.batch_size)
        return
    if sampling.engine == "vllm":
        from recap.sampling.vllm_sampler import VllmSampler

        with closing(VllmSampler(model_dir, sampling.batch_size)) as engine:
            yield engine
        return
    from recap.sampling.server_sampler import ServerSampler

    with closing(
        ServerSampler(model_dir, sampling.servers, batch_size=sampling.batch_size)
    ) as servers:
        if not sampling.servers.elsewhere:
            yield servers
            return
        from recap.sampling.policy_sampler import FixedSampler

        yield FixedSampler(model_dir, servers)
