"""WildJailbreak (allenai/wildjailbreak, config eval): jailbreaks, and harmless look-alikes.

Evaluation only, although the hub calls the split train. Columns adversarial (the prompt) and
data_type, tab separated; the text "null" is text. 2000 rows are ``adversarial_harmful``; 210 are
``adversarial_benign``, a prompt set of its own, ``wildjailbreak-benign``. The data set is gated:
accept its terms on the hub, then download.
"""

from __future__ import annotations

from recap.data.sources.rawrow import RawRow, RowFault, fields, text
from recap.data.sources.readers import table_loader
from recap.types.prompts import PromptRecord
from recap.types.row import Domain

FILES = ("eval/eval.tsv",)
KINDS: dict[str, tuple[Domain, str]] = {
    "adversarial_harmful": ("harmful", "wildjailbreak"),
    "adversarial_benign": ("benign", "wildjailbreak-benign"),
}


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


LOADER = table_loader("wildjailbreak", FILES, "eval", record, licence="ODC-BY")
