"""Data sets and a model of a made-up run, with text that tries to be a script. Not a test."""

from __future__ import annotations

from recap.types.datasets import SourceCount
from recap.types.judged import HumanAgreement
from recap.types.origins import Provenance

SCRIPT = "<script>document.title='stolen'</script><img src=x onerror=\"document.title='stolen'\">"
COUNTS = (
    SourceCount(
        loader="star1",
        licence="Apache-2.0",
        num_rows=1000,
        bad="missing column: question 2",
        num_skipped=0,
        num_duplicates=3,
        contaminated={"wildjailbreak": 4},
        near={"strongreject": 1},
        num_train=990,
        num_eval=0,
    ),
    SourceCount(
        loader="notes",
        licence=None,
        num_rows=7,
        bad="",
        num_skipped=200,
        num_duplicates=0,
        contaminated={},
        near={},
        num_train=0,
        num_eval=7,
    ),
)
PEOPLE = HumanAgreement(
    judge="refusal",
    judge_revision="another",
    judge_prompt_sha="another",
    file="xstest/<b>.csv",
    file_sha256="ab" * 32,
    column="final_label",
    n=450,
    n_unscored=0,
    accuracy=0.9866,
    kappa=0.9733,
    kappa_low=0.9508,
    kappa_high=0.9911,
)
ORIGIN = Provenance(
    origin=f"org/model@{'ab' * 20}", revision="ab" * 20, licence=f"MIT {SCRIPT}", files=()
)
