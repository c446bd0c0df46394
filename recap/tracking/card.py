"""The model card of a version in the Hugging Face hub's format, a pure function of what it holds.

The hub's keys head it; then come use, training, licences, results, limits and lineage. It says
nothing that the version does not record. Leaves out prompts, answers and weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import yaml

from recap.analysis.axes import benchmark_label
from recap.analysis.tables import percent
from recap.benchmarks.declared import BENCHMARKS
from recap.models.records import NO_LICENCE
from recap.models.spelling import HUB
from recap.tracking.licences import LICENCE
from recap.tracking.manifest import Manifest, Provenance, Rate

PAPER = "https://arxiv.org/abs/2510.00938"
SETTINGS = (
    "seed",
    *(f"train.{name}" for name in ("method", "optimizer", "updates", "prompts_per_update")),
    *(f"train.grpo.{name}" for name in ("num_generations", "learning_rate")),
    *(f"train.{name}" for name in ("alpha", "prefill_source", "prefill_length", "prefill_unit")),
    *(f"train.{name}" for name in ("safety_reward", "precision", "adapter")),
    "judge.judge",
)
"""Parameters that the card shows; `recap lineage` shows all."""
NON_COMMERCIAL = re.compile(r"\bNC\b|non-?commercial", re.IGNORECASE)
NOT_KNOWN = "not recorded"
NO_SCORE = "no score"
EXEMPT = "with thoughts that training may have seen"


def model_card(manifest: Manifest, provenance: Provenance, tags: Mapping[str, str]) -> str:
    """The text of README.md; ``tags`` are the version's, as `recap publish` wrote them."""
    params = provenance.params
    licences = {k.removeprefix(LICENCE): tags[k] for k in sorted(tags) if k.startswith(LICENCE)}
    parts = [
        _head(params),
        f"# {manifest.name}: {manifest.candidate}",
        _summary(manifest, params),
        "## Intended use\n\n" + _USE,
        "## Training\n\n" + _training(params),
        "## Data and models it was made from\n\n" + _licences(licences),
        "## Results\n\n" + _results(manifest),
        "## Limits\n\n" + _limits(manifest, params),
        "## Lineage\n\n" + _lineage(manifest, tags),
    ]
    return "\n\n".join(parts) + "\n"


_USE = (
    "Research on reasoning models that recover from flawed thoughts, and the defence of such "
    "models. It is not a safety guarantee: the attacks below are those that were tried. Do not "
    "use it to produce harmful text."
)


def _head(params: Mapping[str, str]) -> str:
    """The hub's keys; what is made of parts with several licences has a licence of its own."""
    base = HUB.fullmatch(params.get("models.origins.policy", ""))
    data = [HUB.fullmatch(v) for k, v in params.items() if k.startswith("prepare.sources.")]
    named = sorted({found["name"] for found in data if found})
    keys = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": "other",
        "license_name": "of-its-parts",
        "tags": ["recap", "reasoning", "safety", "arxiv:2510.00938"],
        **({"base_model": base["name"]} if base else {}),
        **({"datasets": named} if named else {}),
    }
    return f"---\n{yaml.safe_dump(keys, sort_keys=False, allow_unicode=True)}---"


def _summary(manifest: Manifest, params: Mapping[str, str]) -> str:
    origin = params.get("models.origins.policy")
    own = "was trained by the project" if params else f"is {NOT_KNOWN}"
    base = f"Its base is {_cell(origin)}." if origin else f"Its base {own}."
    verdict = "passed" if manifest.decision.passed else "did not pass"
    shares = [v for k, v in params.items() if f"{k}.".startswith("train.alpha.")]
    countered = params.get("train.prefill_source") == "counter" and set(shares) - {"0.0"}
    how = "with counter-aligned prefills, which is" if countered else "by the pipeline of"
    return (
        f"A reasoning model trained {how} RECAP ([the paper]({PAPER})). "
        f"{base} It {verdict} its gate against {_cell(manifest.decision.baseline)}."
    )


def _training(params: Mapping[str, str]) -> str:
    rows = [(f"`{name}`", _cell(params.get(name, NOT_KNOWN))) for name in SETTINGS]
    return _table(("parameter", "value"), rows)


def _licences(licences: Mapping[str, str]) -> str:
    if not licences:
        return f"Licences: {NOT_KNOWN}."
    rows = []
    for name, licence in licences.items():
        kind, _, own = name.partition(".")
        rows.append(({"data": "data set"}.get(kind, kind), _cell(own), _cell(licence)))
    text = _table(("kind", "name", "licence"), rows)
    if any(NON_COMMERCIAL.search(licence) for licence in licences.values()):
        text += "\n\nA part of it allows non-commercial use alone."
    if NO_LICENCE in licences.values():
        text += f"\n\n“{NO_LICENCE}” is said where a card names no licence: ask its author."
    return text


def _results(manifest: Manifest) -> str:
    rates = _table(
        ("benchmark", "counted", "rate", "95 % interval", "answers", "without a score"),
        list(_rates(manifest.rates)),
    )
    checks = _table(
        ("condition of the gate", "measured", "required", "passed"),
        [
            (_cell(c.name), _cell(c.measured), _cell(c.required), "yes" if c.passed else "no")
            for c in manifest.decision.checks
        ],
    )
    return f"{rates}\n\n{checks}"


def _rates(rates: Mapping[str, Rate]) -> Iterator[tuple[str, ...]]:
    for key, rate in rates.items():
        name, _, place = key.rpartition("/")
        known = BENCHMARKS.get(name)
        label = benchmark_label(name, int(place)) if known else key
        yield (
            _cell(f"{label}, {EXEMPT}" if known and known.exempt else label),
            known.score if known else NOT_KNOWN,
            NO_SCORE if rate.value is None else percent(rate.value, 1),
            NO_SCORE
            if rate.low is None or rate.high is None
            else f"{percent(rate.low, 1)} to {percent(rate.high, 1)}",
            str(rate.n),
            str(rate.n_unscored),
        )


def _limits(manifest: Manifest, params: Mapping[str, str]) -> str:
    judge = _cell(params.get("judge.judge", NOT_KNOWN))
    return "\n".join(
        (
            "- One training. The intervals are those of prompts; another seed gives another model.",
            f"- Verdicts are those of the judge {judge}. Another judge may differ.",
            "- Only the benchmarks above were measured. A stronger attack may succeed.",
            "- Answers without a score are counted beside the rates, never as failures or "
            "successes.",
        )
    )


def _lineage(manifest: Manifest, tags: Mapping[str, str]) -> str:
    rows = [
        ("content", manifest.fingerprint),
        ("code", _cell(tags.get("git_commit", NOT_KNOWN))),
        ("dvc.lock", _cell(tags.get("dvc_lock", NOT_KNOWN))),
        ("files", f"{len(manifest.files)}, each with its md5 in the version's manifest"),
    ]
    return _table(("of what", "digest"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text as itself in a cell of a Markdown table, on pages that render HTML too."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_|\[\]])", r"\\\1", plain)
