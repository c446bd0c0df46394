"""A user's file: rows with their lines, labels in the project's words, agreement by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from recap.cli.judge.labels import read_label, scale_of
from recap.cli.judge.show import summary
from recap.cli.judge.table import read_table
from recap.cli.judge.work import CHUNK, Case, cases, compare, verdicts
from recap.errors import DataError
from recap.judges.judge import Judge, Means, Opinion
from recap.judges.registry import JUDGES
from recap.types.attacks import Completion
from recap.types.row import Label

NEEDED = ("prompt", "completion")


def _write(folder: Path, content: str | bytes, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_csv_of_any_shape(tmp_path: Path) -> None:
    content = (
        "\ufeffextra,completion,prompt\r\n"
        '1,"two\r\nlines, ""quoted""",first\r\n'
        "\r\n"
        ",,second\r\n"
        '3,"x\nx\nx",third\r\n'
        f"4,{'long ' * 60_000},fourth\r\n"
    )
    rows = read_table(_write(tmp_path, content), NEEDED)
    assert [(row.line, row.values["prompt"]) for row in rows] == [
        (2, "first"),
        (5, "second"),
        (6, "third"),
        (9, "fourth"),
    ]
    assert rows[0].values["completion"] == 'two\r\nlines, "quoted"'
    assert rows[1].values["completion"] is None and rows[1].values["extra"] is None


def test_json_lines_of_any_shape(tmp_path: Path) -> None:
    lines = [
        {"completion": "a\u2028b", "prompt": "p", "messages": [1], "target": 7},
        {"prompt": "p", "completion": None, "target": "\ud800 8"},
    ]
    content = "\n\n".join(json.dumps(line, ensure_ascii=True) for line in lines)
    for name in ("rows.jsonl", "rows.ndjson", "rows.txt"):
        first, second = read_table(_write(tmp_path, f"\ufeff{content}\r\n", name), NEEDED)
        assert (first.line, second.line) == (1, 3)
        assert first.values == {"completion": "a\u2028b", "prompt": "p", "target": "7"}
        assert second.values["completion"] is None
        assert second.values["target"] == "\ufffd 8"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", " \n", "is empty"),
        ("a.csv", "prompt,completion\n", "has no rows"),
        ("a.csv", "prompt,reply\na,b\n", "a.csv:1: .* got prompt, reply; missing: completion"),
        ("a.csv", "prompt,completion,prompt\na,b,c\n", "a.csv:1: .* prompt more than once"),
        ("a.csv", "prompt,completion\na,b\nc\n", "a.csv:3: expected 2 fields, .* got 1"),
        ("a.csv", 'prompt,completion\n"x\ny",b\nc,"d\n', "a.csv:4: expected CSV"),
        ("a.csv", b"prompt,completion\na,b\nc,\0d\n", "a.csv:3: .* NUL byte"),
        ("a.csv", b"prompt,completion\na,b\nc,\xffd\n", "a.csv:3: expected UTF-8, .* 0xff"),
        ("a.jsonl", '{"prompt": "p", "completion": "c"}\n{"prompt"\n', "a.jsonl:2: .* JSON obj"),
        ("a.jsonl", "[]\n", "a.jsonl:1: expected one JSON object, got list"),
        ("a.jsonl", '{"prompt": "p"}\n', "a.jsonl:1: .* missing: completion"),
        ("a.jsonl", '{"prompt": "p", "completion": {}}\n', "text in `completion`, got dict"),
        ("a.jsonl", '{"prompt": "p", "prompt": "q"}\n', "the key prompt more than once"),
        ("a.jsonl", "[" * 100_000 + "\n", "a.jsonl:1: expected one JSON object"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_table(_write(tmp_path, content, name), NEEDED)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none"):
        read_table(tmp_path / "none.csv", NEEDED)
    with pytest.raises(DataError, match="got the folder"):
        read_table(tmp_path, NEEDED)


@pytest.mark.parametrize(
    ("text", "judge", "label"),
    [
        ("1_full_compliance", "refusal", "helpful"),
        ("2_full_refusal", "refusal", "refused"),
        ("3_partial_refusal", "refusal", "unclear"),
        ("Full compliance", "refusal", "helpful"),
        (" PARTIAL-REFUSAL ", "refusal", "unclear"),
        ("refused", "refusal", "refused"),
        ("safe", "guardian", "safe"),
        ("unsafe", "guardian", "unsafe"),
        ("correct", "math", "correct"),
        ("wrong", "math", "incorrect"),
        ("1", "math", "correct"),
        ("False", "math", "incorrect"),
        ("1", "refusal", None),  # of what?
        ("true", "guardian", None),
        ("4_other", "refusal", None),
        ("harmful", "guardian", None),  # the prompt or the answer?
    ],
)
def test_labels(text: str, judge: str, label: Label | None) -> None:
    assert read_label(text, JUDGES[judge].usual) == label


def test_scales() -> None:
    assert [scale_of(label) for label in ("unsafe", "unclear", "correct")] == [
        "harmful",
        "benign",
        "math",
    ]


def _cases(folder: Path, content: str, judge: str, label: str | None = None) -> list[Case]:
    path = _write(folder, content)
    return cases(path, read_table(path, NEEDED), JUDGES.get(judge, Mapped), label)


def test_the_domain_is_the_columns_or_the_labels_or_the_judges(tmp_path: Path) -> None:
    plain = "prompt,completion,l\np,c,{}\n"
    for judge, label, domain in (
        ("refusal", "", "benign"),
        ("math", "", "math"),
        ("guardian", "", "harmful"),
        ("guardian", "1_full_compliance", "benign"),
        ("refusal", "unsafe", "harmful"),
    ):
        [case] = _cases(tmp_path, plain.format(label), judge, "l")
        assert case.completion.domain == domain
    said = "prompt,completion,domain\np,c,harmful\np,c,\n"
    assert [case.completion.domain for case in _cases(tmp_path, said, "refusal")] == [
        "harmful",
        "benign",
    ]
    with pytest.raises(DataError, match=r"rows.csv:2: expected as `domain` one of .* got 'tea'"):
        _cases(tmp_path, "prompt,completion,domain\np,c,tea\n", "refusal")
    with pytest.raises(DataError, match=r"rows.csv:2: expected safe or unsafe as `l` of a harmf"):
        _cases(tmp_path, "prompt,completion,domain,l\np,c,harmful,refused\n", "refusal", "l")
    with pytest.raises(DataError, match=r"rows.csv:3: expected as `l` one of .* got 'maybe'"):
        _cases(tmp_path, "prompt,completion,l\np,c,refused\np,c,maybe\n", "refusal", "l")


def test_a_thought_is_not_judged_and_a_tag_in_an_answer_hides_nothing(tmp_path: Path) -> None:
    rows = [
        ("<think>I can't</think>Sure.", "Sure.", None),
        ("\n <think>a</think> b </think> c", " b </think> c", None),
        ("Sure. </think> I can't.", " I can't.", None),
        ("Sure. </think> ", None, "no response"),
        ("</think> c", " c", None),
        ("a <think>b</think> c", "a <think>b</think> c", None),
        ("<think>for ever", None, "the thought never ended"),
        ("<think>a</think> ", None, "no response"),
        ("", None, "no completion"),
    ]
    content = "prompt,completion\n" + "".join(f'p,"{text}"\n' for text, _, _ in rows)
    found = _cases(tmp_path, content, "refusal")
    assert [(case.completion.response, case.nothing) for case in found] == [
        (response, nothing) for _, response, nothing in rows
    ]
    assert [case.unopened for case in found] == [False] * 2 + [True] * 3 + [False] * 4


class Mapped(Judge):
    """Says what the response says; "?" is unscored."""

    name = "mapped"
    needs = "nothing"
    revision = "r"
    prompt_sha = "s"

    @classmethod
    def open(cls, means: Means) -> Mapped:
        return cls()

    def opinions(self, completions: Sequence[Completion]) -> list[Opinion]:
        said = [row.response for row in completions]
        return [Opinion(read_label(text or "", self.usual), text or "") for text in said]


def test_agreement_by_hand(tmp_path: Path) -> None:
    pairs = [
        *[("1_full_compliance", "helpful")] * 4,
        *[("2_full_refusal", "refused")] * 3,
        ("3_partial_refusal", "refused"),
        ("3_partial_refusal", "helpful"),
        ("1_full_compliance", "unclear"),
        ("2_full_refusal", "?"),
        ("2_full_refusal", ""),
        ("", "helpful"),
        ("", "?"),
    ]
    content = "prompt,completion,l\n" + "".join(
        f"{place},{said},{label}\n" for place, (label, said) in enumerate(pairs)
    )
    found = _cases(tmp_path, content, "mapped", "l")
    given = verdicts(Mapped(), found)
    assert [verdict.raw for verdict in given[-4:]] == ["?", "no completion", "helpful", "?"]
    assert given[-3].label is None
    said = summary(given, compare(found, given), 0)
    assert (said["n"], said["n_unscored"], said["n_unlabelled"]) == (10, 3, 2)
    assert said["accuracy"] == pytest.approx(0.7)
    assert said["binary_accuracy"] == pytest.approx(0.8)
    # by chance: helpful .5 x .5, refused .3 x .4, unclear .2 x .1; success .5 x .5, else .5 x .5
    assert said["kappa"] == pytest.approx((0.7 - 0.39) / 0.61)
    assert said["binary_kappa"] == pytest.approx((0.8 - 0.5) / 0.5)
    assert said["kappa_low"] < said["kappa"] < said["kappa_high"]
    assert said["confusion"] == {
        "helpful": {"helpful": 4, "unclear": 1},
        "refused": {"refused": 3},
        "unclear": {"helpful": 1, "refused": 1},
    }


def test_nothing_scored_has_no_agreement(tmp_path: Path) -> None:
    found = _cases(tmp_path, "prompt,completion,l\np,?,refused\np,,refused\n", "mapped", "l")
    given = verdicts(Mapped(), found)
    said = summary(given, compare(found, given), 0)
    assert (said["n"], said["n_unscored"]) == (0, 2)
    assert [said[key] for key in ("accuracy", "binary_accuracy", "kappa", "kappa_low")] == [
        None
    ] * 4


def test_verdicts_keep_order_and_name_repeated_ids_apart(tmp_path: Path) -> None:
    size = 2 * CHUNK + 3
    said = ["refused", "helpful", ""]
    content = "id,prompt,completion\n" + "".join(
        f"{place // 2},p,{said[place % 3]}\n" for place in range(size)
    )
    given = verdicts(Mapped(), _cases(tmp_path, content, "mapped"))
    assert [verdict.label for verdict in given] == [
        said[place % 3] or None for place in range(size)
    ]
    assert [(verdict.prompt_id, verdict.sample) for verdict in given[:3]] == [
        ("0", 0),
        ("0", 1),
        ("1", 0),
    ]
    counted = summary(given, None, 3)
    assert counted["n"] + counted["n_unscored"] == size
    assert set(counted["labels"]) == {"helpful", "refused"}
