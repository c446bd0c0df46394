"""The paper's ablation numbers for the values of an axis: Tables 12, 7 and 8.

Percentages of DSLlama-8B by the paper's benchmarks; empty without a counterpart. The paper's
continuous reward (Table 2) counts as ``prob``, although its mapping is not published. A length
corresponds by its ratio to the centre's length, which is 500 words in the paper. Leaves out
verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping

from recap.analysis.paper import MODELS, numbers

MODEL = MODELS[0]
"""The paper's ablations use its smaller model."""
CENTRE_WORDS = 500
ALPHAS = {
    "0": "alpha=0 (DAPO)",
    "0.25": "alpha=0.25",
    "0.5": "alpha=0.50",
    "0.75": "alpha=0.75",
    "1": "alpha=1.00",
}
NONE: Mapping[str, float] = {}


def published(
    axis: str, value: str, *, words: float | None = None, clean: bool = False
) -> Mapping[str, float]:
    """The paper's numbers at ``value`` of ``axis``; ``clean``: without prefills.

    ``words``: a prefill length on the paper's scale (``paper_words``).
    """
    if axis == "alpha":
        return _row12(ALPHAS.get(value, ""))
    if axis == "prefill_length":
        return NONE if words is None else _row12(f"length={words:g}")
    if axis == "prefill_source":
        return _row12("source=counter-aligned" if value == "counter" else f"source={value}")
    if axis == "safety_reward":
        table = {"binary": "table7_binary_safety_reward", "prob": "table2_main"}.get(value)
        return _method(table, "DAPO" if clean else "RECAP")
    if axis == "optimizer":
        table = {"grpo": "table8_grpo_optimizer", "dapo": "table2_main"}.get(value)
        return _method(table, value.upper() if clean else "RECAP")
    return NONE


def paper_words(value: str, centre: object) -> float | None:
    """Our length on the paper's scale of words; ``None`` for a range, which the paper lacks."""
    if not value.isdigit() or not isinstance(centre, int):
        return None
    return CENTRE_WORDS * int(value) / centre


def _row12(name: str) -> Mapping[str, float]:
    rows: Mapping[str, Mapping[str, float]] = numbers()["table12_ablation"]["rows"]
    return rows.get(name, NONE)


def _method(table: str | None, method: str) -> Mapping[str, float]:
    found: Mapping[str, float] = numbers()[table][MODEL][method] if table else NONE
    return found
