"""prepare and validate over public data sets, unchanged: known counts, known overlaps, bad rows.

Reads the folder that RECAP_REAL_DATA names; in CI its absence is a failure, elsewhere a skip.
No benign training rows are there, so the mixture is 1 : 0 : 3.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from html import escape
from pathlib import Path

import pytest
import yaml

from recap.errors import DataError
from recap.rows import read_rows
from recap.stages import prepare, validate
from recap.types.prompts import PromptRecord, QuarantinedRow

ROOT = Path(__file__).parents[2]
SOURCES = ("gsm8k", "star1", "xstest", "strongreject", "math500")
STAR1 = {
    "SaladBench": 298, "wildjailbreak": 261, "ALERT": 139, "PKUSafeRLHF": 94, "BeaverTails": 67,
    "SafetyInstructions": 37, "HarmBench": 31, "AttaQ": 24, "UltraSafety": 19, "HExPHI": 16,
    "SimpleSafetyTests": 4, "MaliciousInstructions": 2, "GPTFuzz": 2, "HarmfulQA": 2,
    "MaliciousInstruct": 1, "QHarm": 1, "TDCRedTeaming": 1, "HarmfulQ": 1,
}  # fmt: skip
OUTS = tuple(Path(f"prompts/{name}.jsonl") for name in ("train", "eval", "quarantine", "sources"))


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("RECAP_REAL_DATA", "")
    if not (Path(folder) / "star1").is_dir() or not folder:
        message = f"RECAP_REAL_DATA names no folder with real data: '{folder}'"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return Path(folder).resolve()


def write_params(folder: Path, sources: dict[str, Path], **changes: object) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["prepare"] |= {
        "sources": {name: str(path) for name, path in sources.items()},
        "mixture": {"harmful": 1, "benign": 0, "math": 3},
        "train_prompts": 4000,
        "eval_prompts": 1319,
        "max_quarantined": 0.0,
        "max_words": 2000,
    } | changes
    (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


@pytest.fixture(scope="module")
def prepared(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stage prepare over all sources, run in a folder of its own."""
    folder = tmp_path_factory.mktemp("real")
    write_params(folder, {name: data / name for name in SOURCES})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare.main(*OUTS)
    return folder


def test_all_rows_arrive_in_their_split_and_domain(prepared: Path) -> None:
    train = read_rows(prepared / OUTS[0], PromptRecord)
    evaluation = read_rows(prepared / OUTS[1], PromptRecord)
    assert Counter(record.domain for record in train) == {"harmful": 1000, "math": 3000}
    assert Counter((record.source, record.domain) for record in evaluation) == {
        ("gsm8k", "math"): 1319,
        ("math500", "math"): 500,
        ("strongreject", "harmful"): 313,
        ("xstest", "benign"): 250,
    }
    assert Counter(r.source for r in train if r.domain == "harmful") == {
        f"star1-{name}": count for name, count in STAR1.items()
    }
    assert {r.source for r in train if r.domain == "math"} == {"gsm8k"}


def test_gold_answers_are_numbers_or_latex(prepared: Path) -> None:
    rows = [row for path in OUTS[:2] for row in read_rows(prepared / path, PromptRecord)]
    targets = {row.id: row.target for row in rows}
    assert targets["gsm8k-test-1"] == "18"
    assert targets["gsm8k-test-147"] == "2125", "written 2,125 in the data"
    assert targets["math500-test/precalculus/807.json"] == r"\left( 3, \frac{\pi}{2} \right)"
    assert not any("," in (row.target or "") for row in rows if row.source == "gsm8k")


def test_the_four_training_sums_that_are_twins_of_test_sums_are_left_out(prepared: Path) -> None:
    found = read_rows(prepared / OUTS[2], QuarantinedRow)
    assert [(row.file, row.line, row.reason) for row in found] == [
        ("gsm8k/train.jsonl", 21, "contaminated by gsm8k: gsm8k-test-633"),
        ("gsm8k/train.jsonl", 407, "contaminated by gsm8k: gsm8k-test-582"),
        ("gsm8k/train.jsonl", 1315, "contaminated by gsm8k: gsm8k-test-603"),
        ("gsm8k/train.jsonl", 5163, "contaminated by gsm8k: gsm8k-test-603"),
    ]


def test_the_prepared_prompts_pass_validation_and_stay_out_of_its_pages(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(prepared)
    none = Path("none")
    validate.main("prompts", Path("prompts"), none, none, Path("result.json"), Path("docs"))
    pages = [Path("result.json"), *Path("docs").iterdir()]
    shown = "".join(path.read_text(encoding="utf-8") for path in pages)
    rows = [row for path in OUTS[:2] for row in read_rows(path, PromptRecord)]
    assert any(row.source.startswith("star1-") for row in rows)
    for text in {row.prompt for row in rows}:
        assert not any(form in shown for form in (text, escape(text), escape(text, quote=False)))


def test_poisoned_rows_are_listed_and_too_many_fail_the_stage(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    poisoned = tmp_path / "strongreject"
    shutil.copytree(data / "strongreject", poisoned)
    path = poisoned / "strongreject.jsonl"
    path.chmod(0o644)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines += ['{"prompt": "a </think> b"}', '{"prompt": 3}', '{"prompt": ']
    path.write_text("\n".join(lines), encoding="utf-8")
    sources = {"strongreject": poisoned, "gsm8k": data / "gsm8k", "star1": data / "star1"}

    expected = [
        (314, "prompt: think tag"),
        (315, "wrong type: prompt is int, not text"),
        (316, "malformed JSON"),
    ]
    write_params(tmp_path, sources, max_quarantined=0.01)  # 3 of 316 are 0.95 %
    prepare.main(*OUTS)
    listed = read_rows(OUTS[2], QuarantinedRow)
    assert [(r.line, r.reason) for r in listed if r.file.startswith("strongreject/")] == expected
    assert sum(r.source == "strongreject" for r in read_rows(OUTS[1], PromptRecord)) == 313

    for out in OUTS:
        out.unlink()
    write_params(tmp_path, sources, max_quarantined=0.009)
    with pytest.raises(DataError, match=r"in strongreject .* got 3 of 316 \(0\.95%\): .*jsonl"):
        prepare.main(*OUTS)
    listed = read_rows(OUTS[2], QuarantinedRow)
    assert [(r.line, r.reason) for r in listed if r.file.startswith("strongreject/")] == expected
    assert not OUTS[0].exists() and not OUTS[1].exists()
