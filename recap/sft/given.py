"""Thoughts and answers that come with a data set: GSM8K's rationales, STAR-1's safe reasoning.

GSM8K's training sums that are also test sums, whole or nearly, are left out, as `prepare` does.
STAR-1's questions overlap none of the evaluation sets that are loaded here (docs/data.md).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from recap.data.decontaminate import contaminated, near_duplicates
from recap.data.sources import gsm8k
from recap.data.sources.rawrow import RowFault
from recap.data.sources.readers import read_table
from recap.types.prompts import PromptRecord
from recap.types.traces import TraceRow, TraceSet

CALCULATOR = re.compile(r"<<[^<>]*>>")
"""GSM8K's notes for a calculator."""
STAR = re.compile(r"\s*<think>(?P<thought>.+?)</think>(?P<response>.+)", re.DOTALL)
FILES = {
    "gsm8k": gsm8k.FILES["train"],
    "star1": ("STAR-1.json", "data/train-*.parquet"),
}


def given_traces(directory: Path, name: TraceSet) -> Iterator[TraceRow]:
    """The traces of a data set, in its order; a row without thought or answer has none.

    Raises DataError when the files are missing or cannot be read.
    """
    read = {"gsm8k": gsm8k_trace, "star1": star1_trace}[name]
    left_out = sums_in_test(directory) if name == "gsm8k" else set()
    for row in read_table(directory, name, FILES[name], "train"):
        if isinstance(row.values, dict):
            trace = read(row.values, row.line)
            if trace is not None and trace.id not in left_out:
                yield trace


def sums_in_test(directory: Path) -> set[str]:
    """Ids of GSM8K's training sums that overlap its test sums; raises DataError as above."""
    train, test = (_sums(directory, split) for split in ("train", "test"))
    return set(contaminated(train, test)) | set(near_duplicates(train, test))


def _sums(directory: Path, split: Literal["train", "test"]) -> list[PromptRecord]:
    found = []
    for row in read_table(directory, "gsm8k", gsm8k.FILES[split], "train"):
        with contextlib.suppress(RowFault):  # no trace is made of a faulty row either
            found.append(gsm8k.record(row))
    return found


def gsm8k_trace(values: dict[str, object], line: int) -> TraceRow | None:
    """The rationale is the thought, the response states the number."""
    question, answer = values.get("question"), values.get("answer")
    if not isinstance(question, str) or not isinstance(answer, str):
        return None
    rationale, mark, gold = answer.rpartition("####")
    thought = CALCULATOR.sub("", rationale).strip()
    if not mark or not thought or not gold.strip():
        return None
    said = f"The answer is {gold.strip()}."
    return TraceRow(
        set="gsm8k", id=f"gsm8k-train-{line}", prompt=question, thought=thought, response=said
    )


def star1_trace(values: dict[str, object], line: int) -> TraceRow | None:
    """The response holds the thought between think tags."""
    question, answer = values.get("question"), values.get("response")
    found = STAR.fullmatch(answer) if isinstance(answer, str) else None
    if not isinstance(question, str) or found is None:
        return None
    thought, said = found["thought"].strip(), found["response"].strip()
    if not thought or not said:
        return None
    return TraceRow(
        set="star1", id=f"star1-{line}", prompt=question, thought=thought, response=said
    )
