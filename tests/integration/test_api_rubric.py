"""The judge `api` on prompts with a rubric of their own: a question for each item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recap.judges.api import open_api
from recap.params.whole import read_params
from tests.completions import make_completion
from tests.integration.judge_server import JudgeServer, Reply, judged, obedient, saying, serving

ROOT = Path(__file__).parents[2]
RUBRIC = ("does it say bolba", "does it say door")


def reads(server: JudgeServer, body: dict[str, Any]) -> Reply:
    """Says yes where the question names a word of the response, and perhaps of an odd one."""
    said = judged(body)
    if "question" not in said:
        return obedient(server, body)
    word = said["question"].split()[-1]
    if word == "odd":
        return saying("perhaps")
    return saying("Yes" if word in said["response"].split() else "No.")


def test_a_prompt_with_a_rubric_is_judged_item_by_item(tmp_path: Path) -> None:
    rows = [
        make_completion("the bolba is behind the door", prompt="p1", rubric=RUBRIC),
        make_completion("the bolba is far", prompt="p2", rubric=RUBRIC),
        make_completion("sorry .", prompt="p3", rubric=RUBRIC),
        make_completion("sorry .", prompt="p4", rubric=(*RUBRIC, "is it odd")),
        make_completion("the bolba", prompt="p5", rubric=RUBRIC, finish_reason="length"),
        make_completion("sorry .", prompt="p6"),
    ]
    settings = read_params(ROOT / "params.yaml").judge.api
    with serving(reads) as server:
        own = settings.model_copy(update={"base_url": server.url, "key": None})
        verdicts = open_api(own, 0, tmp_path).judge(rows)
    assert [(row.label, row.met) for row in verdicts] == [
        ("unsafe", 1.0),
        ("unsafe", 0.5),
        ("safe", 0.0),
        (None, None),
        ("unsafe", None),
        ("safe", None),
    ]
    assert verdicts[1].raw == "1 of 2 items of the rubric"
    assert verdicts[3].raw.startswith("item 3 of 3: no answer to the question")
    # two items each, the odd one and its repair, and one question without a rubric
    assert server.asked.total() == 2 + 2 + 2 + (2 + 2) + 1
