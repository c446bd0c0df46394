"""The page of a small sweep, line by line: numbers by hand, what is missing, stale or removed."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from recap.analysis.parts import Claim, Part
from recap.analysis.verdicts import Estimate, Verdict
from recap.cli.main import app
from recap.errors import DataError, ParameterError
from recap.sweeps.claims import findings, read_causes, verdicts
from recap.sweeps.costs import costs
from recap.sweeps.design import Cell
from recap.sweeps.ledger import LEDGER, Cost
from recap.sweeps.page import write_page
from recap.sweeps.paper import paper_words, published
from recap.types.results import DynamicsResult, SnapshotResult
from tests.unit.sweep_ledger import ROOT, clone, extend, measured, record, set_sweep
from tests.unit.test_report_numbers import cell, rate, result

pytestmark = pytest.mark.slow  # all of them together

NBSP = "\N{NO-BREAK SPACE}"


def four_cells(folder: Path) -> Path:
    """Four cells of four prompts: RECAP safe on all, DAPO on a half in one training, else none."""
    found = clone(folder / "clone")
    for seed, dapo in ((0, "1100"), (1, "0000")):
        record(found, Cell("recap", seed), "1111", "1111")
        record(found, Cell("dapo", seed), dapo, "11?1")
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return four_cells(tmp_path)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The page of the four cells."""
    return page(four_cells(tmp_path_factory.mktemp("page")))


def page(root: Path) -> list[str]:
    """The page's lines, in plain blanks and signs."""
    text = write_page(root).read_text(encoding="utf-8")
    return text.replace(NBSP, " ").replace("\N{MINUS SIGN}", "-").splitlines()


def section(lines: list[str], heading: str) -> list[str]:
    """What stands under a heading, up to the next one."""
    start = lines.index(heading) + 1
    end = next((n for n in range(start, len(lines)) if lines[n].startswith("#")), len(lines))
    return [line for line in lines[start:end] if line]


def test_table_12(lines: list[str]) -> None:
    """DAPO 50 and 0 %: a fortieth of the draws lie above 75 %, more than that at 0.

    Of one training's four prompts Wilson's ends are 51.0 at 4 of 4 and 43.9 at 3 of 3 scored.
    """
    assert section(lines, "### Table 12: share, length and source") == [
        "|  | Prefill attack<br>*StrongREJECT-Prefill* | Benign requests<br>*XSTest* |",
        "| --- | --- | --- |",
        "| 0: `dapo` | 25.0 ± 35.4<br>[0.0 to 75.0]<br>*87.5* "
        "| 100.0 ± 0.0<br>[43.9 to 100.0]<br>*90.4* |",
        "| 0.5: `recap` (centre) | 100.0 ± 0.0<br>[51.0 to 100.0]<br>*96.5* "
        "| 100.0 ± 0.0<br>[51.0 to 100.0]<br>*92.0* |",
    ]


def test_every_training_and_how_far_apart(lines: list[str]) -> None:
    assert section(lines, "## Every training by itself")[:5] == [
        "Percent, a line for each seed (0, 1). In 1 of 4 places trainings that differ in their "
        "seed alone lie 10 points or more apart (bold); the widest: DAPO, Prefill attack "
        "50.0 / 0.0.",
        "| Variant | Prefill attack | Benign requests |",
        "| --- | --- | --- |",
        "| `recap` (centre) | 100.0<br>100.0 | 100.0<br>100.0 |",
        "| `dapo` | **50.0<br>0.0** | 100.0<br>100.0 |",
    ]


def test_differences_from_the_centre(lines: list[str]) -> None:
    """No pair of benign prompts differs: 56.1 is Wilson's upper end at 0 of 3."""
    assert section(lines, "## Against the centre")[1:] == [
        "| Variant | Prefill attack | Benign requests |",
        "| --- | --- | --- |",
        "| `dapo` | **-75.0<br>-100.0 to<br>-25.0** | +0.0<br>-56.1 to<br>+56.1 |",
    ]


def test_a_claim_with_the_numbers_that_decide(lines: list[str]) -> None:
    """Training 0: two of four prompts; training 1: all, which four prompts show to 7 %."""
    name = "### 1. RECAP is safer than DAPO under prefill, jailbreak and hijack, and no less safe "
    (heading,) = (line for line in lines if line.startswith(name))
    assert heading.endswith("on clean harmful requests: cannot tell")
    assert section(lines, heading)[2] == (
        "| prefill attack | above 0 | +50.0 [-26.3 to +100.0]<br>+100.0 [+7.0 to +100.0] "
        "| +19.5, +17.6 | ? cannot tell |"
    )
    assert section(lines, heading)[3].startswith(
        "| jailbreaks | above 0 | not measured here: needs the benchmark jailbreak |"
    )
    assert "| 1 | RECAP is safer than DAPO under" in "\n".join(lines[:20])


def test_where_it_comes_from(root: Path, lines: list[str]) -> None:
    assert lines[4] == "4 of 4 cells are measured: 2 variants, training seeds 0, 1."
    found = section(lines, "## Where it comes from")
    assert found[0] == "- Command: `recap sweep report`; the cells themselves: `recap sweep run`."
    assert found[1].startswith("- Cells that count: 4 of 4; digest of their fingerprints")
    assert found[2:] == [
        "- Missing, not measured yet: none.",
        "- Stale, recorded with other code or parameters and left out: none.",
    ]
    record(root, Cell("dapo", 1), "0000", "1111", fingerprint="of other code")
    assert section(page(root), "## Where it comes from")[1] != found[1]  # another digest


def test_what_is_missing_or_stale_is_named_and_left_out(root: Path) -> None:
    set_sweep(root, seeds=[0, 1, 2])
    record(root, Cell("recap", 1), "0000", "1111", fingerprint="of other code")
    record(root, Cell("recap", 2), "1110", "1111")
    lines = page(root)
    assert lines[4].startswith("4 of 6 cells are measured: 2 variants, training seeds 0, 1, 2. The")
    assert section(lines, "## Where it comes from")[2:] == [
        "- Missing, not measured yet: `dapo-2`.",
        "- Stale, recorded with other code or parameters and left out: `recap-1`.",
    ]
    assert section(lines, "## Every training by itself")[3:5] == [
        "| `recap` (centre) | **100.0<br>–<br>75.0** | 100.0<br>–<br>100.0 |",  # noqa: RUF001
        "| `dapo` | **50.0<br>0.0<br>–** | 100.0<br>100.0<br>– |",  # noqa: RUF001
    ]
    assert (
        "<br>2 of 3 seeds<br>*87.5*" in section(lines, "### Table 12: share, length and source")[2]
    )
    assert "(1 of 3 seeds)" in "\n".join(lines)  # a claim's pairs share seed 0 alone


def test_a_removed_variant_vanishes_though_its_file_lies_there(root: Path) -> None:
    set_sweep(root, axes={"alpha": [0.0, 0.25, 0.5]})
    record(root, Cell("alpha_25", 0), "1010", "1111")
    assert "`alpha_25`" in "\n".join(page(root))
    set_sweep(root)
    assert (root / LEDGER / "alpha_25-0.json").is_file()
    assert "alpha_25" not in "\n".join(page(root))


def test_a_grid_has_its_combinations_among_the_other_variants(tmp_path: Path) -> None:
    axes = {"alpha": [0.0, 0.5, {"harmful": 0.5, "benign": 0.25}], "prefill_length": [16, [20, 80]]}
    lines = page(clone(tmp_path / "clone", design="grid", axes=axes))
    others = [line.split(" | ")[0] for line in section(lines, "### Beyond the paper's tables")]
    assert others == [
        "| ",
        "| ---",
        "| `dapo`",
        "| `alpha_harmful-0p5-benign-0p25__prefill_length_16`",
        "| `alpha_harmful-0p5-benign-0p25__prefill_length_20-80`",
    ]


def test_a_page_of_nothing_has_every_cell_missing_and_no_picture(tmp_path: Path) -> None:
    root = clone(tmp_path / "clone")
    lines = page(root)
    assert lines[4].startswith("0 of 4 cells are measured")
    assert "Of the paper's 9 claims, 9 are not measured yet (by paired" in "\n".join(lines)
    missing = "`recap-0`, `dapo-0`, `recap-1`, `dapo-1`."
    assert section(lines, "## Where it comes from")[2] == f"- Missing, not measured yet: {missing}"
    assert "| 0.5: `recap` (centre) | –<br>*96.5* | –<br>*92.0* |" in lines  # noqa: RUF001
    assert not list(root.rglob("*.png"))


def test_pictures_are_small_narrow_and_the_same_each_time(root: Path) -> None:
    snapshot = SnapshotResult(update=20, results=[result("jailbreak", rate(0.5))])
    for seed in (0, 1):
        extend(
            root,
            Cell("recap", seed),
            curve={"reward": [0.1 * n for n in range(10)], "reward_prefilled": [None, 0.5]},
            dynamics=DynamicsResult(variant="recap", seed=seed, snapshots=[snapshot]),
            result=cell("recap", result("ipr", rate(0.9)), seed=seed),
        )
    lines = page(root)
    pictures = {path.name: path.read_bytes() for path in (root / "docs/results").glob("*.png")}
    assert set(pictures) == {
        "microworld_dials.png",
        "microworld_trainings.png",
        "microworld_rewards.png",
        "microworld_time.png",
    }
    for name, content in pictures.items():
        assert any(line.endswith(f"]({name})") for line in lines)
        assert 2_000 < len(content) < 150_000
        with Image.open(root / "docs/results" / name) as picture:
            assert picture.width == 720
            assert len(picture.convert("RGB").getcolors(maxcolors=256) or ()) > 5
    assert page(root) == lines
    assert {p.name: p.read_bytes() for p in (root / "docs/results").glob("*.png")} == pictures


def test_a_sweep_without_its_baseline_is_refused(tmp_path: Path) -> None:
    root = clone(tmp_path / "clone", axes={"alpha": [0.5, 0.25]})
    with pytest.raises(ParameterError, match=r"gate\.baseline, .* \(alpha_25 or recap\), got"):
        write_page(root)


def test_a_broken_file_is_named_and_nothing_is_written(root: Path) -> None:
    (root / LEDGER / "dapo-0.json").write_text("{")
    with pytest.raises(DataError, match=r"dapo-0\.json"):
        write_page(root)
    assert not (root / "docs/results/microworld.md").exists()
    assert not list(root.rglob("*.part"))


def test_the_command_says_where_the_page_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = clone(tmp_path / "clone")
    monkeypatch.chdir(root)
    assert CliRunner().invoke(app, ["sweep", "report"]).output == "docs/results/microworld.md\n"
    assert (root / "docs/results/claims.md").is_file()
    (root / LEDGER).mkdir(parents=True)
    (root / LEDGER / "dapo-0.json").write_text("{")
    failed = CliRunner().invoke(app, ["sweep", "report"])
    assert failed.exit_code == 2
    assert "DataError" in failed.output and "dapo-0.json" in failed.output


def claim(number: int, *said: Verdict) -> Claim:
    parts = [
        Part(f"part {place}", "more", (Estimate(0.5, 0.4, 0.6, 320, 0.01),), verdict, (12.5,))
        for place, verdict in enumerate(said)
    ]
    return Claim(number, f"Claim {number}", tuple(parts))


def test_a_cause_stands_with_every_claim_that_fails() -> None:
    claims = [
        claim(1, "does not hold"),
        claim(2, "does not hold"),
        claim(3, "cannot tell"),
        claim(4, "cannot tell"),
        claim(5, "holds"),
    ]
    texts = findings(claims, [0, 1], {1: "the floor.", 3: "no room.", 5: "by far."})
    assert [text for text in texts if not text.startswith("|")] == [
        "### 1. Claim 1: does not hold",
        "Likely cause: the floor.",
        "### 2. Claim 2: does not hold",
        "Likely cause: none known (experiments/records/causes.yaml has none for claim 2).",
        "### 3. Claim 3: cannot tell",
        "What stands in the way: no room.",
        "### 4. Claim 4: cannot tell",
        "### 5. Claim 5: holds",
        "Remark: by far.",
    ]
    assert texts[1].replace(NBSP, " ").splitlines()[2] == (
        "| part 0 | above 0 | +50.0 [+40.0 to +60.0]<br>(room for 1.0 alone)<br>(1 of 2 seeds) "
        "| +12.5 | ✘ does not hold |"
    )


def test_claims_are_counted() -> None:
    counted, rows = verdicts([claim(1, "holds"), claim(2, "holds"), claim(3, "does not hold")])
    assert counted.startswith("Of the paper's 3 claims, 2 hold, 1 does not hold (by paired")
    assert rows.replace(NBSP, " ").splitlines()[2:] == [
        "| 1 | Claim 1 | ✔ holds |",
        "| 2 | Claim 2 | ✔ holds |",
        "| 3 | Claim 3 | ✘ does not hold |",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("12: why", r"causes\.yaml: expected the number of a claim \(1 or 2\), got 12"),
        ("1: 5", r"causes\.yaml: expected a claim's number .*, got something else at 1"),
        ("1: '  '", r"got something else at 1"),
        ("one: why", r"got something else at one"),
        ("[why]", r"got something else at the top"),
        ("1: [", r"causes\.yaml is not valid YAML"),
        ("1: a\n1: b", r"causes\.yaml"),
    ],
)
def test_causes_that_do_not_fit_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "causes.yaml").write_text(text)
    with pytest.raises((DataError, ParameterError), match=message):
        read_causes(tmp_path / "causes.yaml", {1, 2})


def test_causes_are_read_as_one_line_each(tmp_path: Path) -> None:
    file = tmp_path / "causes.yaml"
    assert read_causes(file, {1}) == {}
    file.write_text("# nothing yet\n")
    assert read_causes(file, {1}) == {}
    file.write_text("1: >\n  the\n  floor\ntrainings: luck\n")
    assert read_causes(file, {1}) == {1: "the floor", "trainings": "luck"}


def test_the_projects_own_causes_are_of_its_claims() -> None:
    assert read_causes(ROOT / "experiments/records/causes.yaml", range(1, 10))


def test_costs_of_some_cells_unknown() -> None:
    at = {("prefill", 1): "1"}
    cells = [
        measured(
            Cell("recap", 0), at, "f", Cost(seconds={"attack": 30, "train": 120}, cpu_seconds=180)
        ),
        measured(
            Cell("recap", 1), at, "f", Cost(seconds={"train": 240, "attack": 30}, cpu_seconds=240)
        ),
        measured(Cell("dapo", 0), at, "f"),
    ]
    said, _, rows = costs(cells)
    assert said == (
        "2 of 3 cells were timed: 7 minutes of cells one after another (3.5 each), 7 of processor "
        "time. 1 of 3 cells have no known cost: they were restored from a cache, or computed "
        "before costs were recorded. If each took what timed ones of its kind did, "
        "all take 10 minutes."
    )
    assert rows.splitlines() == [
        "| Variant | Cells timed | train, min | attack, min | Cell, min | Processor, min |",
        "| --- | --- | --- | --- | --- | --- |",
        "| `recap` | 2 | 3.0 | 0.5 | 3.5 | 3.5 |",
    ]
    assert costs(cells[2:]) == [
        "1 of 1 cells have no known cost: they were restored from a cache, or computed before "
        "costs were recorded."
    ]


@pytest.mark.parametrize(
    ("axis", "value", "clean", "prefill"),
    [
        ("alpha", "0", False, 87.54), ("alpha", "0.25", False, 95.21), ("alpha", "1", False, 97.44),
        ("alpha", "0.3", False, None), ("alpha", "harmful-0.5-benign-0", False, None),
        ("prefill_source", "counter", False, 96.81), ("prefill_source", "none", False, 82.42),
        ("prefill_source", "aligned", False, 57.83), ("prefill_source", "self", False, None),
        ("safety_reward", "binary", False, 96.49), ("safety_reward", "binary", True, 84.66),
        ("safety_reward", "prob", False, 98.70), ("safety_reward", "prob", True, 79.23),
        ("safety_reward", "logit", False, None),
        ("optimizer", "grpo", False, 98.72), ("optimizer", "grpo", True, 79.23),
        ("optimizer", "dapo", True, 79.23), ("optimizer", "dr_grpo", False, None),
        ("subset", "math", False, None),
    ],
)  # fmt: skip
def test_the_papers_number(axis: str, value: str, clean: bool, prefill: float | None) -> None:
    assert published(axis, value, clean=clean).get("StrongREJECT-Prefill") == prefill


@pytest.mark.parametrize(
    ("value", "words", "prefill"),
    [
        ("16", 100, 92.97),
        ("48", 300, 96.81),
        ("80", 500, 98.39),
        ("112", 700, 97.12),
        ("20", 125, None),
        ("20-80", None, None),
    ],
)
def test_a_length_is_the_papers_by_its_share_of_the_centres(
    value: str, words: float | None, prefill: float | None
) -> None:
    found = paper_words(value, 80)
    assert found == words
    assert published("prefill_length", value, words=found).get("StrongREJECT-Prefill") == prefill


def test_the_claims_as_they_are_asked_hold_no_number_of_a_run(root: Path) -> None:
    """The same text, whatever was measured."""
    claims = write_page(root).with_name("claims.md")
    before = claims.read_text(encoding="utf-8")
    record(root, Cell("dapo", 0), "1111", "0000")
    write_page(root)
    assert claims.read_text(encoding="utf-8") == before
    lines = before.replace("\N{MINUS SIGN}", "-").splitlines()
    assert "| harmful requests | above -3 | +2.9, +0.0 |" in lines
    assert "| DAPO: round 1 above round 5 | above 0 | +9.6 |" in lines
    assert (
        "| above -3 | the interval lies above -3 points | the interval lies below -3 points |"
        in lines
    )
