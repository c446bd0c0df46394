"""A policy that thinks from a model that does not, and prefill sources from that policy.

Beside the policy stand its traces, harmful ones among them, and a record of origin and training.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from recap.models.hub import obtain
from recap.models.weights import load_model
from recap.params.models import Fitting, Reasoning, WarmStart
from recap.params.seeds import derive_seed
from recap.params.sources import Sources
from recap.render import Renderer
from recap.rows import atomic_directory, read_json, read_rows, write_json, write_rows
from recap.sft.warm_start import documents, fit, policy_traces, source_traces, trace_pool
from recap.types.origins import PROVENANCE, Provenance
from recap.types.sources import Source
from recap.types.traces import TRACES_FILE, TraceRow

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WARM_STARTED = "warm_start.json"
OPENS = "{%- if add_generation_prompt %}{{- 'TAG\\n' }}{%- endif %}"
"""What makes a template open a thought where the answer begins."""


def warm_policy(
    origin: str, out: Path, section: WarmStart, reasoning: Reasoning, seed: int
) -> None:
    """Train the model of ``origin`` to think, and put it at ``out`` with its traces.

    Raises ModelError, DataError or TrainingError; ``out`` is then as before.
    """
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch) / "base"
        obtain(origin, base, None)
        taken = read_json(base / PROVENANCE, Provenance)
        model = load_model(base)
        instruct = Renderer.from_dir(base, reasoning)
        pool = trace_pool(section, model, instruct, derive_seed(seed, "traces"))
        tokenizer = instruct.tokenizer
        if reasoning.open not in instruct.template:
            tokenizer.chat_template = instruct.template.rstrip("\n") + OPENS.replace(
                "TAG", reasoning.open
            )
        renderer = Renderer(tokenizer, reasoning, instruct.turn.stop_ids)
        traces = policy_traces(pool, section)
        _train(model, renderer, traces, section, section.longest, derive_seed(seed, "policy"))
        _write(out, model, renderer, {"base": taken.model_dump(mode="json")}, traces, pool)


def warm_source(
    source: Source,
    policy: Path,
    out: Path,
    *,
    section: Sources,
    longest: int,
    reasoning: Reasoning,
    seed: int,
) -> None:
    """Fine-tune the warm-started policy into ``source``, and put it at ``out``.

    ``longest``: the tokens of a trace, as in ``models.warm_start``. ``seed``: the run's. Raises
    DataError or TrainingError; ``out`` is then as before.
    """
    pool = read_rows(policy / TRACES_FILE, TraceRow)
    traces = source_traces(pool, source, section.traces[source])
    model, renderer = load_model(policy), Renderer.from_dir(policy, reasoning)
    _train(model, renderer, traces, section, longest, derive_seed(seed, "source", source))
    _write(out, model, renderer, {"base": str(policy)}, traces)


def _train(
    model: PreTrainedModel,
    renderer: Renderer,
    traces: list[TraceRow],
    section: Fitting,
    longest: int,
    seed: int,
) -> None:
    fit(model, documents(traces, renderer, longest), section, seed)


def _write(
    out: Path,
    model: PreTrainedModel,
    renderer: Renderer,
    base: dict[str, object],
    traces: list[TraceRow],
    pool: list[TraceRow] | None = None,
) -> None:
    """The whole folder in one rename."""
    counts = Counter(row.set for row in traces)
    with atomic_directory(out) as part:
        model.save_pretrained(part)
        renderer.tokenizer.save_pretrained(part)
        if pool is not None:
            write_rows(part / TRACES_FILE, pool)
        write_json(part / WARM_STARTED, base | {"traces": dict(sorted(counts.items()))})
