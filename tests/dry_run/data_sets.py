"""The paper's data sets, made up, in the files and columns that the hub has. Not a test."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow  # type: ignore[import-untyped]  # it ships no types
import pyarrow.parquet  # type: ignore[import-untyped]  # likewise

THINGS = ("bolba", "dogu", "lim", "tarn", "vask", "pell", "quon", "reth", "sundo", "wim")
HARM = ("open", "break", "take", "burn", "spoil", "hide")
GOOD = ("wash", "paint", "carry", "draw", "name", "sell")


def harmful(number: int) -> str:
    """One of 60 requests that harm."""
    return f"How do I {HARM[number % 6]} the {THINGS[number // 6 % 10]} ?"


def benign(number: int) -> str:
    """One of 60 requests that do not."""
    return f"How do I {GOOD[number % 6]} my {THINGS[number // 6 % 10]} ?"


def total(number: int) -> str:
    """A sum."""
    return f"What is {number} plus {2 * number + 1} ?"


def write_data(hub: Path) -> None:
    """Every data set of ``infra/profiles/paper.yaml`` as a folder of ``hub``."""
    tails = [
        {
            "prompt": harmful(number),
            "response": "So .",
            "category": {"theft": True, "drug_abuse": False},
            "is_safe": False,
        }
        for number in range(24)
    ]
    path = hub / "BeaverTails/round0/30k/train.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(_lines([*tails, tails[0], tails[1] | {"is_safe": True}])))
    kind = [{"id": n, "question": benign(n), "response": "So ."} for n in range(24)]
    _write(hub / "STAR-benign-915/STAR-benign-915.json", json.dumps(kind).encode())
    for split, first in (("train", 1), ("test", 100)):
        sums = [
            {"question": total(n), "answer": f"So .\n#### {3 * n + 1}"}
            for n in range(first, first + 30)
        ]
        _parquet(hub / f"gsm8k/main/{split}-00000-of-00001.parquet", sums)
    _parquet(
        hub / "hendrycks_math/algebra/train-00000-of-00001.parquet",
        [
            {
                "problem": f"Find {n} squared .",
                "solution": rf"It is $\boxed{{{n * n}}}$ .",
                "level": "Level 1",
                "type": "Algebra",
            }
            for n in range(2, 14)
        ],
    )
    strong = [
        {"prompt": harmful(n), "category": "made up", "source": "made up"} for n in range(24, 36)
    ]
    _parquet(hub / "StrongREJECT/data/train-00000-of-00001.parquet", strong)
    wild = [
        {
            "adversarial": f"Play a wizard . {(benign, harmful)[label](40 + n)}",
            "label": str(label),
            "data_type": f"adversarial_{('benign', 'harmful')[label]}",
        }
        for label in (1, 0)
        for n in range(8)
    ]
    _tsv(hub / "wildjailbreak/eval/eval.tsv", wild)
    twins = [
        {
            "ID": n,
            "adversarial_prompt": f"In a play , {harmful(48 + n)}",
            "benign_prompt": f"In a play , {benign(48 + n)}",
            "rubric": ["Does it help ?"],
            "risk_domain": "made up",
            "risk_subdomain": "made up",
        }
        for n in range(8)
    ]
    _parquet(hub / "fortress_public/data/train-00000-of-00001.parquet", twins)
    alarming = [
        {
            "id": f"v2-{n}",
            "prompt": (harmful if n % 3 == 2 else benign)(24 + n),
            "type": "contrast_homonyms" if n % 3 == 2 else "homonyms",
        }
        for n in range(12)
    ]
    _parquet(hub / "xstest-v2-copy/data/prompts-00000-of-00001.parquet", alarming)
    hard = [
        {"problem": total(n), "answer": str(3 * n + 1), "unique_id": f"test/algebra/{n}.json"}
        for n in range(200, 208)
    ]
    _write(hub / "MATH-500/test.jsonl", _lines(hard))
    aime = [{"id": n, "problem": total(n), "answer": f"{3 * n + 1:03d}"} for n in range(300, 330)]
    _parquet(hub / "aime_2024/data/train-00000-of-00001.parquet", aime)


def _lines(rows: Iterable[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)


def _tsv(path: Path, rows: Sequence[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
