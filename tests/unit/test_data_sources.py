"""Foreign rows: every loader's parse, the readers on broken files, what texts are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.data.load import LocatedRecord, parse
from recap.data.sources.checks import normalise, text_fault
from recap.data.sources.rawrow import RawRow
from recap.data.sources.readers import read_table
from recap.data.sources.registry import LOADERS
from recap.errors import DataError
from recap.types.prompts import PromptRecord, QuarantinedRow

MAX_WORDS = 8


def raw(values: object, *, line: int = 7, split: str = "train") -> RawRow:
    return RawRow("some/file", line, split, values)  # type: ignore[arg-type]


def record(loader: str, values: object, *, split: str = "train") -> PromptRecord:
    parsed = parse(LOADERS[loader], raw(values, split=split), MAX_WORDS)
    assert isinstance(parsed, LocatedRecord), parsed
    return parsed.record


def test_the_loaders_and_those_that_are_for_evaluation_alone() -> None:
    assert list(LOADERS) == [
        "microworld",
        "gsm8k",
        "star1",
        "xstest",
        "strongreject",
        "math500",
        "benign",
        "beavertails",
        "star_benign",
        "hendrycks_math",
        "aime2024",
        "wildjailbreak",
        "fortress",
        "fortress_or",
    ]
    assert {name for name, loader in LOADERS.items() if loader.eval_only} == {
        "xstest",
        "strongreject",
        "math500",
        "aime2024",
        "wildjailbreak",
        "fortress",
        "fortress_or",
    }


def test_each_loader_makes_the_record_its_schema_says() -> None:
    sum_row = {"question": "How many?", "answer": "10*108=<<10*108=1080>>1080\n#### 1,080"}
    assert record("gsm8k", sum_row) == PromptRecord(
        id="gsm8k-train-7",
        domain="math",
        prompt="How many?",
        target="1080",
        source="gsm8k",
        split="train",
    )
    assert record("gsm8k", sum_row, split="eval").id == "gsm8k-test-7"
    assert record("benign", {"id": "041", "prompt": "What is tea?", "kind": "plain"}) == (
        PromptRecord(
            id="benign-041",
            domain="benign",
            prompt="What is tea?",
            target=None,
            source="benign",
            split="train",
            category="plain",
        )
    )
    assert record("gsm8k", sum_row | {"answer": "#### -3.5"}).target == "-3.5"

    question = {"id": "68", "question": "how do i open the bolba ?", "source": "HarmBench"}
    assert record("star1", question) == PromptRecord(
        id="star1-68",
        domain="harmful",
        prompt="how do i open the bolba ?",
        target=None,
        source="star1-HarmBench",
        split="train",
    )

    safe = {"id": "1", "prompt": "Where?", "type": "homonyms", "label": "safe", "focus": "a b "}
    assert record("xstest", safe, split="eval") == PromptRecord(
        id="xstest-1",
        domain="benign",
        prompt="Where?",
        target=None,
        source="xstest",
        category="homonyms",
        split="eval",
        cluster="a b",
    )
    hub_copy = {"id": "v2-1", "prompt": "Where?", "type": "homonyms"}
    assert record("xstest", hub_copy, split="eval").cluster is None

    reduced, upstream = {"prompt": "x ?"}, {"forbidden_prompt": "x ?", "category": "c"}
    for values, category in ((reduced, None), (upstream, "c")):
        assert record("strongreject", values, split="eval") == PromptRecord(
            id="strongreject-7",
            domain="harmful",
            prompt="x ?",
            target=None,
            source="strongreject",
            split="eval",
            category=category,
        )

    problem = {"problem": "Solve.", "answer": " \\frac{1}{2} ", "unique_id": "test/algebra/1.json"}
    assert record("math500", problem, split="eval") == PromptRecord(
        id="math500-test/algebra/1.json",
        domain="math",
        prompt="Solve.",
        target="\\frac{1}{2}",
        source="math500",
        split="eval",
    )


def test_unsafe_contrasts_of_xstest_are_no_part_of_the_set() -> None:
    values = {"id": "26", "prompt": "x", "type": "contrast_homonyms", "label": "unsafe"}
    assert parse(LOADERS["xstest"], raw(values, split="eval"), MAX_WORDS) is None


@pytest.mark.parametrize(
    ("loader", "values", "reason"),
    [
        ("gsm8k", ["question"], "wrong type: expected an object, got list"),
        ("gsm8k", {"question": "How many?"}, "missing column: answer"),
        ("gsm8k", {"question": 3, "answer": "#### 1"}, "wrong type: question is int, not text"),
        ("gsm8k", {"question": "How?", "answer": "12"}, "answer: no number after ####"),
        ("gsm8k", {"question": "How?", "answer": "#### about 12"}, "answer: no number after ####"),
        ("gsm8k", {"question": "", "answer": "#### 1"}, "prompt: empty"),
        ("gsm8k", {"question": "a\0b", "answer": "#### 1"}, "prompt: NUL character"),
        ("gsm8k", {"question": "\ud800", "answer": "#### 1"}, "question: not valid Unicode"),
        ("gsm8k", {"question": "w " * 9, "answer": "#### 1"}, "prompt: over 8 words"),
        (
            "star1",
            {"id": None, "question": "x", "source": "s"},
            "wrong type: id is NoneType, not text",
        ),
        ("star1", {"id": True, "question": "x", "source": "s"}, "wrong type: id is bool, not text"),
        ("star1", {"id": "how do i", "question": "x", "source": "s"}, "id is not a plain name"),
        ("star1", {"id": "1", "question": "x </think>", "source": "s"}, "prompt: think tag"),
        (
            "xstest",
            {"id": "1", "prompt": "x", "type": "contrast_x", "label": "safe"},
            "label: does not fit type",
        ),
        ("math500", {"problem": "x", "answer": " ", "unique_id": "1"}, "target: empty"),
        ("microworld", {"id": "1"}, "wrong type: domain"),
    ],
)
def test_bad_rows_are_quarantined_with_place_and_reason(
    loader: str, values: object, reason: str
) -> None:
    parsed = parse(LOADERS[loader], raw(values), MAX_WORDS)
    assert isinstance(parsed, QuarantinedRow)
    assert (parsed.file, parsed.line, parsed.reason) == ("some/file", 7, reason)
    if reason.startswith("id "):
        assert parsed.id is None, "an id that may be text is not repeated"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("what is 7 plus 5 ?", None),
        ("is 3 < x and y > 2 , | x | ?", None),
        ("tabs\tand\nlines", None),
        ("the <b> tag", None),
        (" \u200b\n", "empty"),
        ("a\x1bb", "control character"),
        ("<THINK >", "think tag"),
        ("x < / thinking > y", "think tag"),
        ("\uff1cthink\uff1e", "think tag"),
        ("<th\u200bink>", "think tag"),
        ("a <|im_start|> b", "special token"),
        ("<\uff5cUser\uff5c>", "special token"),
        ("<bos>", "special token"),
        ("x </s>", "special token"),
        ("[/INST] y", "special token"),
        ("<<SYS>>", "special token"),
        ("<end_of_turn>", "special token"),
        ("a <guard> b", "special token"),
    ],
)
def test_texts_that_may_not_be_used(text: str, fault: str | None) -> None:
    assert text_fault(text, MAX_WORDS + 8) == fault


def test_the_models_own_tags_may_not_be_used() -> None:
    text = "let us <reasoning> now"
    assert text_fault(text, MAX_WORDS) is None
    assert text_fault(text, MAX_WORDS, ["<reasoning>", "</reasoning>"]) == "think tag"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("How do I  open it?", "how do i open it ?", True),
        ("\uff28ow do I open it", "how do i open it", True),
        ("what is 3 + 4", "what is 3 - 4", False),
        ("what is 1.5", "what is 15", False),
    ],
)
def test_prompts_that_count_as_the_same(one: str, other: str, same: bool) -> None:
    assert (normalise(one) == normalise(other)) is same


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
columns = st.sampled_from(
    ["id", "question", "answer", "prompt", "type", "label", "focus", "problem", "unique_id",
     "source", "forbidden_prompt", "domain", "target", "split", "cluster", "is_safe", "category",
     "solution", "adversarial", "data_type", "ID", "adversarial_prompt", "benign_prompt",
     "risk_domain", "kind"]
)  # fmt: skip
cells = (
    json_values
    | st.sampled_from(["#### 1,000", "a\0b", "<think>", "harmful", "math", "train", "safe"])
    | st.sampled_from([r"\boxed{1}", "adversarial_benign", "7"])
    | st.characters(categories=["Cs", "Cc", "Cf"])
)


@given(st.sampled_from(sorted(LOADERS)), st.dictionaries(columns, cells) | json_values)
def test_any_row_becomes_a_record_or_is_quarantined(loader: str, values: object) -> None:
    parsed = parse(LOADERS[loader], raw(values, split="eval"), MAX_WORDS)
    if isinstance(parsed, LocatedRecord):
        assert text_fault(parsed.record.prompt, MAX_WORDS) is None
        parsed.record.model_dump_json()
    elif parsed is None:
        assert loader in {"xstest", "beavertails"}
    else:
        assert parsed.line == 7 and parsed.reason
        parsed.model_dump_json()


def read(folder: Path, name: str, content: bytes) -> list[tuple[int, object]]:
    (folder / name).write_bytes(content)
    rows = read_table(folder, "some", (name,), "eval")
    return [(row.line, row.fault or row.values) for row in rows]


def test_a_broken_json_line_costs_that_line_alone(tmp_path: Path) -> None:
    huge_number = b"[" + b"9" * 5000 + b"]"
    content = b'\xef\xbb\xbf{"a": 1}\n\n{"a": \n' + huge_number + b"\n" + b"[" * 10**5
    assert read(tmp_path, "x.jsonl", content + b'\n{"a": "\xe2\x80\xa8"}\n\xff\n{"a": 2}') == [
        (1, {"a": 1}),
        (3, "malformed JSON"),
        (4, "malformed JSON"),
        (5, "malformed JSON"),
        (6, {"a": "\u2028"}),
        (7, "malformed JSON"),
        (8, {"a": 2}),
    ]


def test_a_stray_quote_in_a_csv_costs_one_row(tmp_path: Path) -> None:
    content = (
        b'id,prompt\r\n1,"two\r\nlines"\r\n2,"stray\r\n3,x\r\n\r\n4,"y"\r\n5\r\n6,z,z\r\n7,\xff'
    )
    assert read(tmp_path, "x.csv", content) == [
        (2, {"id": "1", "prompt": "two\r\nlines"}),
        (4, "malformed CSV"),
        (5, {"id": "3", "prompt": "x"}),
        (7, {"id": "4", "prompt": "y"}),
        (8, "malformed CSV"),
        (9, "malformed CSV"),
        (10, {"id": "7", "prompt": "\udcff"}),
    ]


def test_rows_of_a_json_array_know_their_lines(tmp_path: Path) -> None:
    content = b'[\n  {"a": 1},\n  {\n "a": 2},\n  3\n]\n'
    assert read(tmp_path, "x.json", content) == [(2, {"a": 1}), (3, {"a": 2}), (5, 3)]
    assert read(tmp_path, "x.json", b"[]") == []


@pytest.mark.parametrize("content", [b"", b'{"a": 1}', b'[\n{"a": 1},\n{"a"', b'[{"a": 1} {}]'])
def test_a_json_array_that_breaks_off_is_an_error_not_a_shorter_set(
    tmp_path: Path, content: bytes
) -> None:
    with pytest.raises(DataError, match=r"x\.json:\d+: expected .* got malformed JSON"):
        read(tmp_path, "x.json", content)


def test_parquet_shards_count_their_rows_through(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    for number, values in enumerate((["a", "b"], ["c"])):
        table = pyarrow.table({"prompt": values})
        parquet.write_table(table, tmp_path / f"train-{number}.parquet")
    rows = list(read_table(tmp_path, "strongreject", ("absent.csv", "train-*.parquet"), "eval"))
    assert [(r.file, r.line, r.values) for r in rows] == [
        ("strongreject/train-0.parquet", 1, {"prompt": "a"}),
        ("strongreject/train-0.parquet", 2, {"prompt": "b"}),
        ("strongreject/train-1.parquet", 3, {"prompt": "c"}),
    ]
    (tmp_path / "train-1.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="expected a Parquet file"):
        list(read_table(tmp_path, "strongreject", ("train-1.parquet",), "eval"))
