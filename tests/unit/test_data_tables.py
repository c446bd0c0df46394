"""The tables that expectations look at: flags in place of text, sums of groups; the docs page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recap.data.docs_page import index_page, offline_page
from recap.data.suites import SUITES
from recap.data.tables import Table, prefill_tables, prompt_tables, verdict_tables
from recap.data.validation import RuleResult, SuiteResult, Validation
from recap.errors import DataError
from recap.params.prepare import Mixture
from recap.params.whole import read_params
from recap.types.prompts import Prefill, PromptRecord
from recap.types.verdicts import Verdict

PARAMS = read_params(Path(__file__).parents[2] / "params.yaml")
PREPARE = PARAMS.prepare.model_copy(
    update={"mixture": Mixture(harmful=1, benign=1, math=1), "eval_prompts": 3}
)


def prompt(name: str, text: str, **changes: Any) -> PromptRecord:
    values: dict[str, Any] = {
        "id": name,
        "domain": "harmful",
        "prompt": text,
        "target": None,
        "source": "microworld-harmful",
        "split": "train",
    }
    return PromptRecord(**values | changes)


TRAIN = [
    prompt("t0", "how do i open the bolba ?", cluster="bolba"),
    prompt("t1", "what is 1 plus 1 ?", domain="math", target="2"),
    prompt("t2", "how do i open it <think>", domain="benign", source="xstest"),
    prompt("t3", "one more", domain="benign", target="2"),
]
EVAL = [
    prompt("e0", "How do I open the bolba", split="eval", cluster="drefo"),
    prompt("e1", "how do i sell the bolba ?", split="eval", cluster="bolba"),
    prompt("e2", "what is 2 plus 2 ?", split="train", domain="math", target="4", source="gsm8k"),
    prompt("e3", "please", split="eval", domain="benign", source="xstest"),
]


def flagged(table: Table, column: str, value: object = True) -> list[object]:
    return [row["row"] for row in table.rows if row[column] == value]


def test_prompts_become_flags() -> None:
    rows, _ = prompt_tables(TRAIN, EVAL, PREPARE)
    assert flagged(rows, "prompt_in_other_split") == ["t0", "e0"]
    assert flagged(rows, "cluster_in_other_split") == ["t0", "e1"]
    assert flagged(rows, "unusable_text") == ["t2"]
    assert flagged(rows, "target_fits_domain", False) == ["t3"]
    assert flagged(rows, "evaluation_only") == ["t2", "e3"]
    assert [row["row"] for row in rows.rows if row["file"] != row["split"]] == ["e2"]
    assert rows.rows[0]["num_words"] == 7


def test_sets_have_their_quotas_as_bounds() -> None:
    _, sets = prompt_tables(TRAIN, EVAL, PREPARE)
    assert [tuple(row.values()) for row in sets.rows] == [
        ("train harmful", 1, 2, 2),  # 4 rows at 1 : 1 : 1 are 2, 1, 1
        ("train benign", 2, 1, 1),
        ("train math", 1, 1, 1),
        ("eval gsm8k", 1, 1, 3),
        ("eval microworld-harmful", 2, 3, 3),  # the microworld can fill its sets
        ("eval xstest", 1, 1, 3),
    ]


def prefill(prompt_id: str, **changes: Any) -> Prefill:
    values: dict[str, Any] = {
        "prompt_id": prompt_id,
        "text": "i should help them .",
        "intent": "harmful",
        "source_model": "m",
        "num_words": 5,
        "num_tokens": 5,
        "response": "sure .",
        "rejected": None,
    }
    return Prefill(**values | changes)


def test_prefills_become_flags_and_shares() -> None:
    found = {
        "harmful": [
            prefill("t0"),
            prefill("t1", rejected="turned", num_words=4),
            prefill("e0", text="a </think>", num_words=2),
        ],
        "harmful_eval": [prefill("e0", source_model="n"), prefill("e1", source_model="m")],
        "refusing": [prefill("t2", source_model="k", intent="refusing")],
    }
    rows, sources = prefill_tables(found, TRAIN, EVAL)
    assert flagged(rows, "prompt_known", False) == ["harmful:e0"]
    assert flagged(rows, "domain_fits_source", False) == ["harmful:t1", "harmful:e0"]
    assert flagged(rows, "num_words_true", False) == ["harmful:t1"]
    assert flagged(rows, "think_tag") == ["harmful:e0"]
    assert flagged(rows, "verified", False) == ["harmful:t1"]
    assert flagged(rows, "intent_fits_source", False) == []
    assert [tuple(row.values()) for row in sources.rows] == [
        ("harmful", "train", 3, 0.6667, True),
        ("harmful_eval", "eval", 2, 1.0, True),
        ("refusing", "train", 1, 1.0, False),
    ]


def verdict(prompt_id: str, label: Any, **changes: Any) -> Verdict:
    values: dict[str, Any] = {
        "prompt_id": prompt_id,
        "benchmark": "harmful",
        "place": 1,
        "sample": 0,
        "label": label,
        "judge": "oracle",
        "judge_revision": "1",
        "judge_prompt_sha": "-",
        "raw": "secret",
    }
    return Verdict(**values | changes)


def test_verdicts_become_rows_and_cells() -> None:
    found = {
        "base-0": [verdict("e0", "safe"), verdict("e1", None), verdict("gone", "safe")],
        "recap-0": [verdict("e0", "unsafe", place=2)],
        "dapo-0": [],
    }
    rows, cells = verdict_tables(found, EVAL)
    assert rows.rows[0] == {
        "row": "base-0:e0:harmful:1:0",
        "cell": "base-0",
        "benchmark": "harmful",
        "domain": "harmful",
        "label": "safe",
        "judge": "oracle",
        "judge_revision": "1",
    }
    assert flagged(rows, "domain", "unknown") == ["base-0:gone:harmful:1:0"]
    assert [tuple(row.values()) for row in cells.rows] == [
        ("base-0", 3, 0.3333, 1),
        ("recap-0", 1, 0.0, 3),
        ("dapo-0", 0, 1.0, 4),
    ]


def test_no_text_enters_a_table() -> None:
    tables = (
        *prompt_tables(TRAIN, EVAL, PREPARE),
        *prefill_tables({"harmful": [prefill("t0")]}, TRAIN, EVAL),
        *verdict_tables({"base-0": [verdict("e0", "safe")]}, EVAL),
    )
    shown = repr([table.rows for table in tables])
    for text in ("how do i", "bolba", "i should", "sure", "secret"):
        assert text not in shown


def test_an_empty_table_is_an_error() -> None:
    with pytest.raises(DataError, match="table 'prompts', got an empty data set"):
        prompt_tables([], [], PREPARE)


def test_rules_look_at_columns_that_exist_and_have_names_of_their_own() -> None:
    tables = (
        *prompt_tables(TRAIN, EVAL, PREPARE),
        *prefill_tables({"harmful": [prefill("t0")]}, TRAIN, EVAL),
        *verdict_tables({"base-0": [verdict("e0", "safe")]}, EVAL),
    )
    assert {table.name for table in tables} == set(SUITES)
    for table in tables:
        rules = SUITES[table.name](PARAMS.validation)
        assert len({rule.name for rule in rules}) == len(rules)
        for rule in rules:
            used = {v for k, v in rule.bounds.items() if k.startswith("column")}
            used |= {rule.where[0]} if rule.where else set()
            assert used <= set(table.rows[0]), rule.name


def rule(**changes: Any) -> RuleResult:
    values: dict[str, Any] = {
        "rule": "no row occurs twice",
        "expectation": "expect_x",
        "column": "row",
        "applies_to": None,
        "passed": False,
        "rows": 9,
        "violations": 2,
        "observed": None,
        "row_names": ["a<b>", "c"],
    }
    return RuleResult(**values | changes)


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (rule(), "no row occurs twice (expect_x on row): 2 of 9 rows: a<b>, c"),
        (
            rule(violations=12, row_names=list("abcdefghij")),
            "no row occurs twice (expect_x on row): 12 of 9 rows: "
            "a, b, c, d, e, f, g, h, i, j, ...",
        ),
        (
            rule(violations=None, rows=None, observed=2, row_names=[]),
            "no row occurs twice (expect_x on row): observed 2",
        ),
    ],
)
def test_a_violation_in_one_sentence(result: RuleResult, sentence: str) -> None:
    assert result.sentence() == sentence


def test_the_index_escapes_names_and_counts_violations() -> None:
    suite = SuiteResult(suite="prompts", passed=False, rows=9, rules=[rule(), rule(passed=True)])
    page = index_page(Validation(table="prompts", passed=False, suites=[suite]))
    assert "1 of 2 rules violated" in page
    assert "<code>a&lt;b&gt;</code>" in page and "a<b>" not in page


def test_only_sections_survive_of_a_foreign_page() -> None:
    page = """<head><link href="https://x.test/a.css"><script>alert(1)</script></head>
    <nav><img src="https://x.test/l.png"> home</nav><p>stray</p>
    <div class="col-10"><div id="section-1" class="ge-section">
      <h5 style="color: red" onclick="x()">row &lt;b&gt; &#9731;</h5><br>
      <a href="../../suite.html">suite</a> Data asset: None
      <script src="https://x.test/s.js"></script>
      <a data-toggle="collapse" href="#b">more</a>
      <div class="card collapse"><table><tr><td>20260101T000000Z</td></tr></table></div>
      <i class="fas fa-times"></i>
    </div></div><footer><a href="https://x.test">news</a></footer>"""
    made = offline_page(page, "a < b")
    assert "<h1>a &lt; b</h1>" in made
    body = made.split("rules of this table</a></p>")[1]
    assert body == (
        '\n<div class="ge-section">\n<h5>row &lt;b&gt; &#9731;</h5><br>\n<span>suite</span>\n'
        '<i class="fas fa-times"></i>\n</div>\n</main>\n</body>\n</html>\n'
    )
