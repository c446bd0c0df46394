"""Thoughts and answers that come with a data set: GSM8K's rationales, STAR-1's safe reasoning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from recap.data.sources.readers import read_table
from recap.types.traces import TraceRow, TraceSet

CALCULATOR = re.compile(r"<<[^<>]*>>")
"""GSM8K's notes for a calculator."""
STAR = re.compile(r"\s*<think>(?P<thought>.+?)</think>(?P<response>.+)", re.DOTALL)
FILES = {
    "gsm8k": ("train.jsonl", "main/train-*.parquet"),
    "star1": ("STAR-1.json", "data/train-*.parquet"),
}


def given_traces(directory: Path, name: TraceSet) -> Iterator[TraceRow]:
    """The traces of a data set, in its order; a row without thought or answer has none.

    Raises DataError when the files are missing or cannot be read.
    """
    read = {"gsm8k": gsm8k_trace, "star1": star1_trace}[name]
    for row in read_table(directory, name, FILES[name], "train"):
        if isinstance(row.values, dict):
            trace = read(row.values, row.line)
            if trace is not None:
                yield trace


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
