"""Data sets and a model of a made-up run, with text that tries to be a script. Not a test."""

from __future__ import annotations

from recap.types.datasets import SourceCount
from recap.types.origins import Provenance

SCRIPT = "<script>document.title='stolen'</script><img src=x onerror=\"document.title='stolen'\">"
COUNTS = (
    SourceCount(
        loader="star1",
        licence="Apache-2.0",
        num_rows=1000,
        bad="missing column: question 2",
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
        num_duplicates=0,
        contaminated={},
        near={},
        num_train=0,
        num_eval=7,
    ),
)
ORIGIN = Provenance(
    origin=f"org/model@{'ab' * 20}", revision="ab" * 20, licence=f"MIT {SCRIPT}", files=()
)
