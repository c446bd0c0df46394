"""Agreement with human labels -> the file that keeps it, by judge, revision and labels.

The page shows what the file has for the judge that decides, at its present revision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from recap.cli.judge.work import Comparison
from recap.rows import read_rows, write_rows
from recap.runtime.locks import exclusive
from recap.types.judged import HumanAgreement
from recap.types.verdicts import Verdict


def agreement_of(
    file: Path, column: str, given: Sequence[Verdict], compared: Comparison
) -> HumanAgreement:
    """What is kept of a comparison; ``file`` is named with its folder."""
    judge, binary = given[0], compared.binary
    return HumanAgreement(
        judge=judge.judge,
        judge_revision=judge.judge_revision,
        judge_prompt_sha=judge.judge_prompt_sha,
        file=f"{file.resolve().parent.name}/{file.name}",
        file_sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        column=column,
        n=binary.n,
        n_unscored=compared.n_unscored,
        accuracy=binary.accuracy,
        kappa=binary.kappa,
        kappa_low=binary.low,
        kappa_high=binary.high,
    )


def keep(path: Path, found: HumanAgreement) -> None:
    """Add it, in place of an older one of the same judge, revision and labels."""
    with exclusive(path.with_name(f".{path.name}.lock")):
        kept = read_rows(path, HumanAgreement) if path.is_file() else []
        after = [*(each for each in kept if each.key != found.key), found]
        after.sort(key=lambda each: (each.file, each.key))
        write_rows(path, after)
