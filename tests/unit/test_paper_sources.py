"""The paper's data sets, made up, in the hub's files: what the loaders read and refuse."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from recap.data.load import Loaded, load
from recap.data.selection import select
from recap.data.sources.hendrycks_math import last_boxed
from recap.data.sources.rawrow import Request
from recap.data.sources.readers import read_table
from recap.data.sources.registry import LOADERS
from recap.errors import DataError
from recap.params.whole import read_params

ROOT = Path(__file__).parents[2]
WORLD = read_params(ROOT / "params.yaml").world


def jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def tsv(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue()


def put(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def read(loader: str, folder: Path) -> Loaded:
    return load(LOADERS[loader], Request(folder, WORLD, 0, 0, 0), 50)


KINDS = ("animal_abuse", "drug_abuse,weapons", "theft")
TAILS = [
    {
        "prompt": prompt,
        "response": "so",
        "is_safe": safe,
        "category": {kind: kind == holds for kind in KINDS},
    }
    for prompt, safe, holds in [
        ("how do i open the bolba", True, None),  # a safe answer to a harmful prompt
        ("how do i open the bolba", False, "theft"),
        ("how do i open the bolba ?", False, "animal_abuse"),  # again, another response
        ("how do i break the dogu", False, None),
        ("what is a dogu", True, None),
        ("where is the lim", False, "drug_abuse,weapons"),
    ]
]


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("round0/30k/train.jsonl.gz", lambda rows: gzip.compress(jsonl(rows))),
        ("round0/30k/train.jsonl.xz", lambda rows: lzma.compress(jsonl(rows))),
        ("data/30k_train-00000-of-00001.parquet", parquet),
    ],
)
def test_beavertails_has_the_prompts_of_unsafe_pairs(
    tmp_path: Path, name: str, pack: Callable[[Any], bytes]
) -> None:
    put(tmp_path, name, pack(TAILS))
    loaded = read("beavertails", tmp_path)
    assert (loaded.num_rows, loaded.quarantined) == (6, ())
    assert [(r.record.id, r.record.domain, r.record.category) for r in loaded.records] == [
        ("beavertails-2", "harmful", "theft"),
        ("beavertails-3", "harmful", "animal_abuse"),
        ("beavertails-4", "harmful", None),
        ("beavertails-6", "harmful", "drug_abuse,weapons"),
    ]
    kept = select([loaded])
    assert [record.id for record in kept.train] == [
        "beavertails-2",
        "beavertails-4",
        "beavertails-6",
    ]
    assert [row.reason for row in kept.set_aside] == ["duplicate of beavertails-2"]


@pytest.mark.parametrize("suffix", ["gz", "xz"])
def test_a_compressed_file_that_is_cut_off_is_an_error(tmp_path: Path, suffix: str) -> None:
    pack = {"gz": gzip.compress, "xz": lzma.compress}[suffix]
    whole = pack(jsonl(TAILS))
    for content in (whole[:-20], whole[: len(whole) // 2], b"no archive at all"):
        put(tmp_path, f"x.jsonl.{suffix}", content)
        with pytest.raises(DataError, match=rf"x\.jsonl\.{suffix}: expected a whole \.{suffix}"):
            list(read_table(tmp_path, "some", (f"x.jsonl.{suffix}",), "train"))


def test_star_benign(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "question": "how do i kill the lights ?", "response": "so"},
        {"question": "what is tea ?"},
    ]
    put(tmp_path, "STAR-benign-915.json", json.dumps(rows, indent=1).encode())
    found = [located.record for located in read("star_benign", tmp_path).records]
    assert [(r.id, r.domain, r.source, r.split) for r in found] == [
        ("star_benign-7", "benign", "star_benign", "train"),
        ("star_benign-row7", "benign", "star_benign", "train"),  # the seventh line of the file
    ]


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"so $\boxed{12}$.", "12"),
        (r"\boxed{1} and then \boxed{ \frac{1}{2} } .", r"\frac{1}{2}"),
        (r"\boxed{1} = \fbox{2}", "2"),
        (r"\fbox{1} = \boxed{\{2, 3\}}", r"\{2, 3\}"),
        (r"\boxed{\text{(A)}", None),
        ("twelve", None),
    ],
)
def test_the_answer_is_the_last_box(solution: str, answer: str | None) -> None:
    assert last_boxed(solution) == answer


def test_math_trains_on_seven_subjects_but_for_the_problems_of_math500(tmp_path: Path) -> None:
    train, held_out = tmp_path / "math", tmp_path / "math500"
    rows = [
        {
            "problem": f"Find the sum of {n} and {n}.",
            "solution": rf"It is $\boxed{{{2 * n}}}$.",
            "level": "Level 1",
            "type": "Algebra",
        }
        for n in (1, 2, 3)
    ]
    put(train, "algebra/train-00000-of-00001.parquet", parquet(rows[:2]))
    no_box = rows[2] | {"solution": "Six."}
    put(train, "geometry/train-00000-of-00001.parquet", parquet([rows[2], no_box]))
    put(train, "geometry/test-00000-of-00001.parquet", parquet(rows))
    twin = {"problem": "find the sum of 2 and 2", "answer": "4", "unique_id": "test/algebra/1.json"}
    put(held_out, "test.jsonl", jsonl([twin]))
    loaded = read("hendrycks_math", train)
    assert [(r.record.id, r.record.target, r.record.category) for r in loaded.records] == [
        ("hendrycks_math-1", "2", "Algebra"),
        ("hendrycks_math-2", "4", "Algebra"),
        ("hendrycks_math-3", "6", "Algebra"),
    ]
    assert [(row.line, row.reason) for row in loaded.quarantined] == [
        (4, r"solution: no answer in \boxed{}")
    ]
    chosen = select([loaded, read("math500", held_out)])
    assert [record.id for record in chosen.train] == ["hendrycks_math-1", "hendrycks_math-3"]
    assert chosen.counts[0].contaminated == {"math500": 1}


def test_aime_has_thirty_problems(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": 60 + n, "problem": f"Find {n}.", "answer": f"{n:03d}", "year": "2024"}
        for n in range(30)
    ]
    put(tmp_path, "test.jsonl", jsonl(rows))
    found = [located.record for located in read("aime2024", tmp_path).records]
    assert [(r.id, r.target, r.domain, r.split) for r in found[:2]] == [
        ("aime2024-60", "0", "math", "eval"),
        ("aime2024-61", "1", "math", "eval"),
    ]
    put(tmp_path, "data/train-00000-of-00001.parquet", parquet(rows * 32))
    with pytest.raises(DataError, match=r"Expected the 30 problems of AIME 2024 .* got 960 rows"):
        read("aime2024", tmp_path)


def test_wildjailbreak_has_two_halves_and_null_is_text(tmp_path: Path) -> None:
    rows = [
        {
            "adversarial": text,
            "label": str(int(half == "harmful")),
            "data_type": f"adversarial_{half}",
        }
        for text, half in [
            ("play a wizard\nwho opens the bolba", "harmful"),
            ("null", "harmful"),
            ('he said "tea" and NA', "benign"),
            ("x", "vanilla"),
        ]
    ]
    put(tmp_path, "eval/eval.tsv", tsv(rows))
    loaded = read("wildjailbreak", tmp_path)
    assert [
        (r.record.id, r.record.domain, r.record.source, r.record.prompt) for r in loaded.records
    ] == [
        ("wildjailbreak-2", "harmful", "wildjailbreak", "play a wizard\nwho opens the bolba"),
        ("wildjailbreak-4", "harmful", "wildjailbreak", "null"),
        ("wildjailbreak-5", "benign", "wildjailbreak-benign", 'he said "tea" and NA'),
    ]
    assert [row.reason for row in loaded.quarantined] == [
        "data_type: neither adversarial_harmful nor adversarial_benign"
    ]


def test_fortress_and_its_twins_come_from_one_folder(tmp_path: Path) -> None:
    rows = [
        {
            "ID": n,
            "adversarial_prompt": f"as a wizard , open bolba {n}",
            "rubric": ["q1", "q2"],
            "risk_domain": "CBRNE",
            "risk_subdomain": "Chemical",
            "benign_prompt": f"paint bolba {n}",
        }
        for n in (11, 12)
    ]
    put(tmp_path, "data/train-00000-of-00001.parquet", parquet(rows))
    for name, domain, text in (
        ("fortress", "harmful", "as a wizard , open bolba 11"),
        ("fortress_or", "benign", "paint bolba 11"),
    ):
        found = [located.record for located in read(name, tmp_path).records]
        assert [r.id for r in found] == [f"{name}-11", f"{name}-12"]
        first = found[0]
        assert (first.domain, first.prompt, first.split) == (domain, text, "eval")
        assert (first.cluster, first.category) == ("fortress 11", "CBRNE")
        assert first.rubric == (("q1", "q2") if name == "fortress" else ())


FORTRESS = {"ID": 1, "adversarial_prompt": "x", "benign_prompt": "y", "risk_domain": "z"}


@pytest.mark.parametrize(
    ("loader", "file", "row", "reason"),
    [
        (
            "beavertails",
            "round0/30k/train.jsonl.gz",
            {"prompt": "x"},
            "wrong type: is_safe is NoneType, not true or false",
        ),
        (
            "beavertails",
            "round0/30k/train.jsonl.gz",
            {"prompt": "x", "is_safe": False, "category": "theft"},
            "wrong type: category is str, not an object",
        ),
        ("star_benign", "STAR-benign-915.json", {"id": 1}, "missing column: question"),
        ("hendrycks_math", "train.jsonl", {"problem": "x"}, "missing column: solution"),
        ("wildjailbreak", "eval/eval.tsv", {"adversarial": "x"}, "missing column: data_type"),
        (
            "fortress",
            "fortress.jsonl",
            {"ID": 1, "benign_prompt": "x"},
            "missing column: adversarial_prompt",
        ),
        ("fortress", "fortress.jsonl", FORTRESS, "missing column: rubric"),
        (
            "fortress",
            "fortress.jsonl",
            FORTRESS | {"rubric": "Does it ?"},
            "rubric: no list of questions",
        ),
        ("fortress", "fortress.jsonl", FORTRESS | {"rubric": []}, "rubric: no list of questions"),
        (
            "fortress",
            "fortress.jsonl",
            FORTRESS | {"rubric": ["Does it ?", " "]},
            "rubric: a question is no text",
        ),
        (
            "fortress_or",
            "fortress.jsonl",
            {"ID": 1, "benign_prompt": "x"},
            "missing column: risk_domain",
        ),
    ],
)
def test_another_schema_is_named_by_its_column(
    tmp_path: Path, loader: str, file: str, row: dict[str, Any], reason: str
) -> None:
    pack: dict[str, Callable[[list[Any]], bytes]] = {
        ".gz": lambda rows: gzip.compress(jsonl(rows)),
        ".json": lambda rows: json.dumps(rows).encode(),
        ".jsonl": jsonl,
        ".tsv": tsv,
    }
    put(tmp_path, file, pack[Path(file).suffix]([row]))
    assert [bad.reason for bad in read(loader, tmp_path).quarantined] == [reason]


@pytest.mark.parametrize("loader", sorted(set(LOADERS) - {"microworld"}))
def test_a_folder_without_the_file_names_what_was_looked_for(tmp_path: Path, loader: str) -> None:
    with pytest.raises(DataError, match=rf"Expected .* in .* for the source {loader}, found none"):
        read(loader, tmp_path)
    with pytest.raises(DataError, match=f"Expected a directory with the data of {loader}"):
        read(loader, tmp_path / "absent")
