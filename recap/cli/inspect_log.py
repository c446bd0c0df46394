"""Completions and verdicts in the log format of Inspect AI, so that ``inspect view`` opens them.

Writes one log for each cell and benchmark to ``DIR/<variant>-<seed>/``, in EvalLog version 2 as
plain JSON. Writing does not need the package. A sample is one completion: the planted and the
generated thought are the reasoning, the judge's label is the score and its raw answer the
explanation. An unscored sample has no score. The same files give the same logs; the logs' time is
that of the completions' file. Leaves out prompts as token ids, and training's rollouts.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from recap.analysis.axes import Axes, attack_axes, source_label
from recap.benchmarks.words import family_label
from recap.errors import DataError, choices
from recap.params.whole import read_params
from recap.rows import read_rows, write_json
from recap.types.attacks import Completion
from recap.types.row import SUCCESS
from recap.types.verdicts import Verdict, answer_key

LOG_VERSION = 2
STOP_REASONS = {"stop": "stop", "length": "max_tokens", "overflow": "model_length"}
PRIVATE = 0o700


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A new folder that only its owner can read; it is deleted if the work in it fails.

    Raises DataError if it exists, because old logs would mix with the new ones.
    """
    if folder.exists():
        raise DataError(
            f"Expected a new folder for the logs, got {folder}, which exists. Name another one, or "
            "remove it first."
        )
    folder.mkdir(parents=True, mode=PRIVATE)
    folder.chmod(PRIVATE)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder)
        raise


def export_matrix(root: Path, folder: Path, chosen: Sequence[str]) -> list[Path]:
    """Write the logs of the matrix's cells in ``root``, or of the ``chosen`` cells.

    Raises DataError for a name outside the matrix, and for a folder that exists.
    """
    params = read_params(root / "params.yaml")
    cells = [f"{v}-{s}" for v in params.matrix.variants for s in params.matrix.seeds]
    unknown = [name for name in chosen if name not in cells]
    if unknown:
        raise DataError(f"Expected a cell among {choices(cells)}, got {choices(unknown)}.")
    axes = attack_axes(params.attack)
    written = []
    with new_folder(folder):
        for cell in chosen or cells:
            made = root / f"data/completions/{cell}.jsonl"
            completions = read_rows(made, Completion)
            verdicts = read_rows(root / f"data/verdicts/{cell}.jsonl", Verdict)
            time = datetime.fromtimestamp(int(made.stat().st_mtime), UTC)
            written += export_cell(folder, cell, completions, verdicts, axes, time)
    return written


def export_cell(
    folder: Path,
    cell: str,
    completions: Iterable[Completion],
    verdicts: Iterable[Verdict],
    axes: Axes,
    time: datetime,
) -> list[Path]:
    """Write the logs of one cell, dated ``time``, in UTC.

    Raises DataError for a completion without a verdict row.
    """
    said = {answer_key(verdict): verdict for verdict in verdicts}
    written = []
    ordered = sorted(completions, key=lambda row: row.benchmark)
    for benchmark, group in groupby(ordered, key=lambda row: row.benchmark):
        pairs = []
        for row in group:
            verdict = said.get(answer_key(row))
            if verdict is None:
                raise DataError(
                    f"Expected a verdict on {benchmark}/{row.prompt_id}, round {row.place}, of "
                    f"{cell}, found none. Run the judge stage again."
                )
            pairs.append((row, verdict))
        content = log(cell, benchmark, pairs, axes, time)
        task = benchmark.replace("_", "-")  # the viewer splits a file's name at underscores
        # the viewer takes a JSON file for a log only if its name begins with a time
        began = time.isoformat().replace(":", "-")
        path = folder / cell / f"{began}_{task}_{content['eval']['task_id']}.json"
        write_json(path, content)
        written.append(path)
    return written


def log(
    cell: str,
    benchmark: str,
    pairs: Sequence[tuple[Completion, Verdict]],
    axes: Axes,
    time: datetime,
) -> dict[str, Any]:
    """One EvalLog."""
    at = time.isoformat()
    name = hashlib.md5(f"{cell}/{benchmark}".encode(), usedforsecurity=False).hexdigest()[:22]
    judge = pairs[0][1].judge
    samples = [_sample(row, verdict, cell, axes) for row, verdict in pairs]
    return {
        "version": LOG_VERSION,
        "status": "success",
        "eval": {
            "eval_id": name,
            "run_id": hashlib.md5(cell.encode(), usedforsecurity=False).hexdigest()[:22],
            "created": at,
            "task": f"recap/{benchmark}",
            "task_id": name,
            "task_display_name": family_label(benchmark),
            "dataset": {
                "name": benchmark,
                "samples": len(samples),
                "sample_ids": list(dict.fromkeys(sample["id"] for sample in samples)),
                "shuffled": False,
            },
            "model": f"recap/{cell}",
            "config": {"epochs": max(row.sample for row, _ in pairs) + 1},
            "metadata": {
                "cell": cell,
                "benchmark": benchmark,
                "attack": pairs[0][0].attack,
                "success": SUCCESS[pairs[0][0].domain],
                "judge": judge,
                "judge_revision": pairs[0][1].judge_revision,
                "judge_prompt_sha": pairs[0][1].judge_prompt_sha,
            },
        },
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": _results(pairs, judge, axes),
        "stats": {"started_at": at, "completed_at": at, "model_usage": {}},
        "samples": samples,
    }


def _results(pairs: Sequence[tuple[Completion, Verdict]], judge: str, axes: Axes) -> dict[str, Any]:
    """Success rates: one metric for each place on the attack's axis."""
    scored: dict[int, list[bool]] = {}
    for row, verdict in pairs:
        if verdict.label is not None:
            scored.setdefault(row.place, []).append(verdict.label == SUCCESS[row.domain])
    metrics = {}
    for round_, successes in sorted(scored.items()):
        at = axes.at(pairs[0][0].benchmark, round_)
        name = f"success, {at}" if at else "success"
        metrics[name] = {"name": name, "value": sum(successes) / len(successes), "params": {}}
    n = sum(map(len, scored.values()))
    return {
        "total_samples": len(pairs),
        "completed_samples": len(pairs),
        "scores": [
            {
                "name": judge,
                "scorer": judge,
                "scored_samples": n,
                "unscored_samples": len(pairs) - n,
                "params": {},
                "metrics": metrics,
            }
        ],
    }


def _sample(row: Completion, verdict: Verdict, cell: str, axes: Axes) -> dict[str, Any]:
    user = {"role": "user", "content": row.prompt, "source": "input"}
    answer = {
        "role": "assistant",
        "content": _content(row),
        "source": "generate",
        "model": f"recap/{cell}",
    }
    at = axes.at(row.benchmark, row.place)
    return {
        "id": f"{row.prompt_id}/{row.place}",
        "epoch": row.sample + 1,
        "input": row.prompt,
        "target": row.target or SUCCESS[row.domain],
        "messages": [user, answer],
        "output": {
            "model": f"recap/{cell}",
            "choices": [{"message": answer, "stop_reason": STOP_REASONS[row.finish_reason]}],
            "completion": row.response or "",
            "usage": {
                "input_tokens": row.num_prefill_tokens,
                "output_tokens": row.num_cot_tokens + row.num_response_tokens,
                "total_tokens": row.num_prefill_tokens
                + row.num_cot_tokens
                + row.num_response_tokens,
            },
        },
        "scores": _scores(row, verdict),
        "metadata": {
            "benchmark": row.benchmark,
            "attack": row.attack,
            "domain": row.domain,
            "place": row.place,
            "at": at,
            "prefill_source": row.prefill_source,
            "num_prefill_tokens": row.num_prefill_tokens,
            "finish_reason": row.finish_reason,
            "cluster": row.cluster,
            "category": row.category,
        },
    }


def _content(row: Completion) -> list[Mapping[str, Any]]:
    """The planted and the generated part of the thought, then the response."""
    parts: list[Mapping[str, Any]] = []
    if row.prefill:
        who = source_label(row.prefill_source or "the attacker")
        parts.append({"type": "reasoning", "reasoning": f"[planted, by {who}] {row.prefill}"})
    if row.cot:
        parts.append({"type": "reasoning", "reasoning": row.cot})
    return [*parts, {"type": "text", "text": row.response or ""}]


def _scores(row: Completion, verdict: Verdict) -> dict[str, Any]:
    """The judge's label; empty without one, because a missing score is not a failure."""
    if verdict.label is None:
        return {}
    return {
        verdict.judge: {
            "value": "C" if verdict.label == SUCCESS[row.domain] else "I",
            "answer": verdict.label,
            "explanation": verdict.raw or f"{verdict.judge} {verdict.judge_revision}",
            "metadata": {
                "label": verdict.label,
                "judge_revision": verdict.judge_revision,
                "judge_prompt_sha": verdict.judge_prompt_sha,
            },
        }
    }
