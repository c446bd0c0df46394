"""The file of kept attacks -> cases to be replayed.

A kept attack succeeded against an earlier policy and is a regression test for later ones. Leaves
out which attacks are kept: recap/cli/keep.py.
"""

from __future__ import annotations

from pathlib import Path

from recap.attacks.attack import Case
from recap.errors import DataError
from recap.models.spelling import clone_of
from recap.rows import read_rows
from recap.types.attacks import KeptAttack, attack_id
from recap.types.prompts import PromptRecord
from recap.types.sources import KEPT


def kept_cases(file: Path | None) -> list[Case]:
    """The cases of the file ``attack.replay``, a path from the clone's root.

    The record's category is the benchmark in which the attack succeeded. Raises DataError without a
    file, and as ``read_kept`` does.
    """
    if file is None:
        raise DataError("Expected a file of kept attacks in attack.replay, got null.")
    return [_case(attack) for attack in read_kept(clone_of(Path.cwd()) / file)]


def read_kept(path: Path) -> list[KeptAttack]:
    """A file of kept attacks.

    Raises DataError for an attack that stands there twice, or is not what its id says.
    """
    seen = set()
    attacks = read_rows(path, KeptAttack)
    for number, attack in enumerate(attacks, start=1):
        wanted = attack_id(attack.domain, attack.prompt, attack.prefill, attack.thought_closed)
        if attack.id != wanted or attack.id in seen:
            fault = "again" if attack.id in seen else f"with the text of {wanted}"
            raise DataError(
                f"{path}:{number}: expected each attack once and as it was kept, got {attack.id} "
                f"{fault}. Remove the line; `recap keep` adds attacks."
            )
        seen.add(attack.id)
    return attacks


def _case(attack: KeptAttack) -> Case:
    record = PromptRecord(
        id=attack.id,
        domain=attack.domain,
        prompt=attack.prompt,
        target=None,
        source=KEPT,
        split="eval",
        cluster=attack.cluster or attack.prompt_id,
        category=attack.benchmark,
    )
    return Case(record, kept=attack)
