"""The tables of the expectation suites: one row per record, without any of its text.

Great Expectations shows values in its results and pages. Prompts, thoughts and answers therefore
become flags and counts. Each table has a column ``row`` that names its rows in messages. A second,
small table sums up each group (prompt sets, sources, cells).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recap.data.mixture import DOMAINS, quotas
from recap.data.sources.checks import has_think_tag, normalise, text_fault
from recap.data.sources.registry import LOADERS
from recap.errors import DataError
from recap.params.prepare import Prepare
from recap.types.attacks import kept_domain
from recap.types.prompts import Prefill, PromptRecord
from recap.types.sources import SOURCES
from recap.types.verdicts import Verdict

Value = str | int | float | bool | None
EVALUATION_ONLY = {name for name, loader in LOADERS.items() if loader.eval_only}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of equal columns; ``name`` is the suite that belongs to it."""

    name: str
    rows: list[dict[str, Value]]

    def __post_init__(self) -> None:
        """Raises DataError for a table without rows, which no rule could check."""
        if not self.rows:
            raise DataError(
                f"Expected rows in the table '{self.name}', got an empty data set. Run the stages "
                "before this one again and look at what they report."
            )


def prompt_tables(
    train: Sequence[PromptRecord], evaluation: Sequence[PromptRecord], section: Prepare
) -> tuple[Table, Table]:
    """Table ``prompts`` and table ``sets`` (each training domain, each evaluation set)."""
    files = {"train": train, "eval": evaluation}
    texts = {file: {normalise(r.prompt) for r in records} for file, records in files.items()}
    clusters = {file: {r.cluster for r in records} - {None} for file, records in files.items()}
    other = {"train": "eval", "eval": "train"}
    rows: list[dict[str, Value]] = [
        {
            "row": record.id,
            "file": file,
            "split": record.split,
            "domain": record.domain,
            "source": record.source,
            "num_words": len(record.prompt.split()),
            "unusable_text": text_fault(record.prompt, section.max_words) is not None,
            "target_fits_domain": (record.target is not None) == (record.domain == "math"),
            "prompt_in_other_split": normalise(record.prompt) in texts[other[file]],
            "cluster_in_other_split": record.cluster in clusters[other[file]],
            "evaluation_only": record.source.split("-")[0] in EVALUATION_ONLY,
        }
        for file, records in files.items()
        for record in records
    ]
    return Table("prompts", rows), Table("sets", _sets(train, evaluation, section))


def _sets(
    train: Sequence[PromptRecord], evaluation: Sequence[PromptRecord], section: Prepare
) -> list[dict[str, Value]]:
    """Training domains need their quota; the microworld must fill each evaluation set."""
    counts = Counter(record.domain for record in train)
    wanted = quotas(section.mixture, len(train))
    rows: list[dict[str, Value]] = [
        {"row": f"train {d}", "rows": counts[d], "at_least": wanted[d], "at_most": wanted[d]}
        for d in DOMAINS
    ]
    for source, count in sorted(Counter(record.source for record in evaluation).items()):
        least = section.eval_prompts if source.startswith("microworld-") else 1
        rows.append(
            {
                "row": f"eval {source}",
                "rows": count,
                "at_least": least,
                "at_most": section.eval_prompts,
            }
        )
    return rows


def prefill_tables(
    prefills: Mapping[str, Sequence[Prefill]],
    train: Sequence[PromptRecord],
    evaluation: Sequence[PromptRecord],
) -> tuple[Table, Table]:
    """Table ``prefills`` and table ``sources``; the keys are the sources' names."""
    files = {"train": train, "eval": evaluation}
    domains = {file: {r.id: r.domain for r in records} for file, records in files.items()}
    models: dict[str, set[str]] = {"train": set(), "eval": set()}
    for source, found in prefills.items():
        models[SOURCES[source].split] |= {prefill.source_model for prefill in found}
    shared = models["train"] & models["eval"]

    rows: list[dict[str, Value]] = []
    groups: list[dict[str, Value]] = []
    for source, found in prefills.items():
        role = SOURCES[source]
        for prefill in found:
            domain = domains[role.split].get(prefill.prompt_id, "unknown")
            rows.append(
                {
                    "row": f"{source}:{prefill.prompt_id}",
                    "source": source,
                    "verified": prefill.rejected is None,
                    "intent": prefill.intent,
                    "intent_fits_source": prefill.intent == role.intent,
                    "prompt_known": domain != "unknown",
                    "domain_fits_source": domain in role.domains,
                    "num_words": prefill.num_words,
                    "num_words_true": prefill.num_words == len(prefill.text.split()),
                    "num_tokens": prefill.num_tokens,
                    "think_tag": has_think_tag(prefill.text),
                }
            )
        verified = sum(prefill.rejected is None for prefill in found)
        groups.append(
            {
                "row": source,
                "used_for": role.split,
                "rows": len(found),
                "verified_share": round(verified / len(found), 4) if found else 0.0,
                "model_in_training_and_evaluation": any(p.source_model in shared for p in found),
            }
        )
    return Table("prefills", rows), Table("sources", groups)


def verdict_tables(
    verdicts: Mapping[str, Sequence[Verdict]], evaluation: Sequence[PromptRecord]
) -> tuple[Table, Table]:
    """Table ``verdicts`` and table ``cells``; the keys are the cells' names."""
    domains = {record.id: record.domain for record in evaluation}
    judged = {_key(verdict) for found in verdicts.values() for verdict in found}
    rows: list[dict[str, Value]] = [
        {
            "row": f"{cell}:{_key(verdict)}",
            "cell": cell,
            "benchmark": verdict.benchmark,
            "domain": domains.get(verdict.prompt_id) or kept_domain(verdict.prompt_id) or "unknown",
            "label": verdict.label,
            "judge": verdict.judge,
            "judge_revision": verdict.judge_revision,
        }
        for cell, found in verdicts.items()
        for verdict in found
    ]
    groups: list[dict[str, Value]] = [
        {
            "row": cell,
            "rows": len(found),
            "unscored_share": round(sum(v.label is None for v in found) / len(found), 4)
            if found
            else 1.0,
            "missing": len(judged - {_key(verdict) for verdict in found}),
        }
        for cell, found in verdicts.items()
    ]
    return Table("verdicts", rows), Table("cells", groups)


def _key(verdict: Verdict) -> str:
    return f"{verdict.prompt_id}:{verdict.benchmark}:{verdict.place}:{verdict.sample}"
