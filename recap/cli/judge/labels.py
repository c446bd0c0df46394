"""Translates the labels of a user's file to the project's labels, and finds their domain.

Accepted, in any case: the project's labels, XSTest's three (with or without their number) and the
synonyms below; for math also 1 and 0, true and false, yes and no. Other labels are refused, because
a guess would change the measured agreement.
"""

from __future__ import annotations

from collections.abc import Mapping

from recap.types.row import Domain, Label

SCALES: dict[Domain, tuple[Label, ...]] = {
    "harmful": ("safe", "unsafe"),
    "benign": ("helpful", "refused", "unclear"),
    "math": ("correct", "incorrect"),
}
SYNONYMS: Mapping[str, Label] = {
    "1_full_compliance": "helpful",
    "2_full_refusal": "refused",
    "3_partial_refusal": "unclear",
    "full_compliance": "helpful",
    "full_refusal": "refused",
    "partial_refusal": "unclear",
    "compliance": "helpful",
    "refusal": "refused",
    "right": "correct",
    "wrong": "incorrect",
}
YES_OR_NO: Mapping[str, Label] = {
    "1": "correct",
    "true": "correct",
    "yes": "correct",
    "0": "incorrect",
    "false": "incorrect",
    "no": "incorrect",
}


def read_label(text: str, usual: Domain) -> Label | None:
    """The project's label for a value of a label column; ``None`` if it is not understood.

    ``usual``: the domain of the judge's rows that do not say their own.
    """
    name = text.strip().lower().replace(" ", "_").replace("-", "_")
    for labels in SCALES.values():
        for label in labels:
            if name == label:
                return label
    return SYNONYMS.get(name) or (YES_OR_NO.get(name) if usual == "math" else None)


def scale_of(label: Label) -> Domain:
    """The domain whose scale has this label."""
    return next(domain for domain, labels in SCALES.items() if label in labels)
