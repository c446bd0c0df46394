"""WildJailbreak (allenai/wildjailbreak, config eval): jailbreaks, and harmless look-alikes.

Evaluation only. Columns adversarial (the prompt) and data_type, tab separated; the text "null" is
text. 2000 rows are ``adversarial_harmful``; 210 are ``adversarial_benign``, a prompt set of its
own, ``wildjailbreak-benign``. The data set is gated: accept its terms on the hub, then download.
"""

from __future__ import annotations

from collections.abc import Iterator

from recap.data.sources.rawrow import (
    Loader,
    RawRow,
    Request,
    RowFault,
    data_directory,
    fields,
    text,
)
from recap.data.sources.readers import read_table
from recap.types.prompts import PromptRecord
from recap.types.row import Domain

FILES = ("eval/eval.tsv",)
KINDS: dict[str, tuple[Domain, str]] = {
    "adversarial_harmful": ("harmful", "wildjailbreak"),
    "adversarial_benign": ("benign", "wildjailbreak-benign"),
}


def rows(request: Request) -> Iterator[RawRow]:
    """Both halves; the hub calls the split train."""
    yield from read_table(data_directory(request, "wildjailbreak"), "wildjailbreak", FILES, "eval")


def record(row: RawRow) -> PromptRecord:
    """A harmful or benign prompt by its data_type; raises RowFault."""
    values = fields(row)
    kind = KINDS.get(text(values, "data_type"))
    if kind is None:
        raise RowFault("data_type: neither adversarial_harmful nor adversarial_benign")
    domain, source = kind
    return PromptRecord(
        id=f"wildjailbreak-{row.line}",
        domain=domain,
        prompt=text(values, "adversarial"),
        target=None,
        source=source,
        split=row.split,
    )


LOADER = Loader(
    "wildjailbreak", eval_only=True, rows=rows, record=record, files=FILES, licence="ODC-BY"
)
