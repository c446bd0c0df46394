"""Answers on disk: whole lines whoever writes, nothing lost to a kill, no pickle."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

from recap.judges.journal import Answer, AnswerJournal, key

YES, NO = Answer("yes", 10, 1), Answer("no", 20, 2)


def test_answers_come_back(tmp_path: Path) -> None:
    path = tmp_path / "judge" / "a.jsonl"
    journal = AnswerJournal(path)
    assert journal.get("k") is None
    assert journal.put("k", YES) == YES == journal.get("k")
    assert AnswerJournal(path).get("k") == YES
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == (
        '{"key": "k", "text": "yes", "prompt_tokens": 10, "completion_tokens": 1, '
        '"finish_reason": null}\n'
    )


def test_a_torn_line_costs_one_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    journal = AnswerJournal(path)
    journal.put("one", YES)
    journal.put("two", NO)
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:cut])
        again = AnswerJournal(path)
        assert again.get("one") == YES and again.get("two") is None
        again.put("two", NO)
        again.put("three", YES)
        last = AnswerJournal(path)
        assert [last.get(name) for name in ("one", "two", "three")] == [YES, NO, YES]


def test_lines_of_another_shape_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    AnswerJournal(path).put("k", YES)
    path.write_bytes(b'{"key": "x"}\n[1]\n\xff\xfe\n7\n' + path.read_bytes())
    assert AnswerJournal(path).get("k") == YES


def test_two_journals_of_one_file_see_each_other(tmp_path: Path) -> None:
    first, second = AnswerJournal(tmp_path / "a.jsonl"), AnswerJournal(tmp_path / "a.jsonl")
    first.put("k", YES)
    assert second.get("k") == YES
    assert second.put("k", NO) == YES  # of two answers the first counts, for both
    assert first.get("k") == YES


def test_processes_at_once_keep_lines_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    script = (
        "import sys; from pathlib import Path\n"
        "from recap.judges.journal import Answer, AnswerJournal\n"
        "journal = AnswerJournal(Path(sys.argv[1]))\n"
        "for n in range(50): journal.put(f'{sys.argv[2]}-{n}', Answer('x' * 5000, n, 1))\n"
    )
    arguments = [sys.executable, "-c", script, str(path)]
    writers = [subprocess.Popen([*arguments, name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(path.read_text().splitlines()) == 150
    journal = AnswerJournal(path)
    for name in "abc":
        assert [journal.get(f"{name}-{n}") for n in range(50)] == [
            Answer("x" * 5000, n, 1) for n in range(50)
        ]


def test_a_key_tells_parts_apart() -> None:
    assert key("a", ["bc"]) != key("ab", ["c"]) != key("a", ["b", "c"])
    assert key("a", ["b"]) == key("a", ("b",)) and len(key("")) == 64
