"""The report stage as a process, over a made-up run: page, table, safety, determinism, a browser.

1. The stage writes both files; running it again writes the same bytes.
2. The page refers to nothing outside itself and only its own script may run.
3. Text of a model is shown as text; a browser runs none of it, and says nothing on its console.
4. A variant that left the matrix does not count, though its files are still there.
5. What was not measured does not show; long texts do not make the page large.
6. In a browser: the plots are drawn, the filters filter, nothing is wider than a phone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from PIL import Image

from recap.rows import read_rows, write_json, write_rows
from recap.types.results import CellAgreement
from recap.types.verdicts import Verdict
from tests.integration.chromium import Page, chromium, missing
from tests.integration.report_materials import PEOPLE
from tests.integration.report_run import PLAN, make_run, run_stage

needs_browser = pytest.mark.skipif(missing() is not None, reason=missing() or "")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    result = run_stage(folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_same_inputs_give_the_same_bytes(run_folder: Path) -> None:
    made = [run_folder / "reports" / name for name in ("index.html", "tables.json", "report.md")]
    made += [run_folder / "results" / name for name in ("percent/ipr.json", "plots/rates.json")]
    before = [path.read_bytes() for path in made]
    assert run_stage(run_folder).returncode == 0
    assert [path.read_bytes() for path in made] == before


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text of style elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_page_refers_to_nothing_outside(run_folder: Path) -> None:
    page = (run_folder / "reports/index.html").read_text(encoding="utf-8")
    elements = Elements(page)
    names = {tag for tag, _ in elements.tags}
    assert not names & {"link", "img", "iframe", "object", "embed", "base", "form", "use", "image"}
    fetching = {"src", "href", "srcset", "action", "poster", "xlink:href", "style"}
    assert not [found for _, found in elements.tags if fetching & found.keys()]
    assert not [found for _, found in elements.tags if any(key[:2] == "on" for key in found)]
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert page.count("<script>") == 1
    policy = next(found["content"] for _, found in elements.tags if "http-equiv" in found)
    script = page[page.index("<script>") + 8 : page.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    assert len(page) < 5_000_000


def test_model_text_is_escaped(run_folder: Path) -> None:
    page = (run_folder / "reports/index.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;document.title=&#39;stolen&#39;&lt;/script&gt;" in page
    assert "<img" not in page


def test_page_says_what_was_found(run_folder: Path) -> None:
    page = (run_folder / "reports/index.html").read_text(encoding="utf-8")
    title = "Given a flawed thought, RECAP still answers safely 98 % of the time, DAPO 42 %"
    assert f"<h1>{title}</h1>".replace(" %", "\N{NO-BREAK SPACE}%") in page
    for words in (
        "gate passed",
        "Rates by category",
        "denial &lt;b&gt;",
        "this world",
        "\nwrong_start_jailbreak: 0.4\n",
        "{subset: alignment}",
        "results/rates/base-0.json",
    ):
        assert words in page
    claim = (
        "At most half of it is shown here: DAPO leads at update 20 (90 % against 65 %), the "
        "intervals apart; RECAP leads nowhere."
    )
    assert claim.replace(" %", "\N{NO-BREAK SPACE}%") in page
    assert 'aria-label="Jailbreaks by update"' in page
    assert "results/dynamics/recap-0.json" in page


def test_the_page_lists_data_and_models_with_their_licences(run_folder: Path) -> None:
    page = (run_folder / "reports/index.html").read_text(encoding="utf-8")
    section = page[page.index('<section id="materials">') :].split("</section>")[0]
    assert "<td>star1</td><td>Apache-2.0</td>" in section and "nearly in strongreject 1" in section
    assert "<td>notes</td><td>none stated</td>" in section
    assert "<code>org/model</code></td><td><code>abababababab</code></td><td>MIT &lt;s" in section
    assert "A model that is not listed was trained in this run" in section


def test_the_page_says_what_people_think_of_the_judge(run_folder: Path, tmp_path: Path) -> None:
    assert 'id="judges"' in (run_folder / "reports/index.html").read_text(encoding="utf-8")
    folder = shutil.copytree(run_folder, tmp_path / "run")
    path = folder / "data/verdicts/base-0.jsonl"
    text = path.read_text(encoding="utf-8").replace('"judge":"oracle"', '"judge":"refusal"')
    path.write_text(text, encoding="utf-8")
    assert run_stage(folder).returncode == 0
    page = (folder / "reports/index.html").read_text(encoding="utf-8")
    assert "No agreement with people's labels is kept for the judge <b>refusal</b>" in page
    assert "(1 of other revisions)" in page
    row = read_rows(folder / "data/verdicts/base-0.jsonl", Verdict)[0]
    now = {"judge_revision": row.judge_revision, "judge_prompt_sha": row.judge_prompt_sha}
    write_rows(folder / "experiments/records/judges.jsonl", [PEOPLE.model_copy(update=now)])
    assert run_stage(folder).returncode == 0
    page = (folder / "reports/index.html").read_text(encoding="utf-8")
    assert (
        "<code>xstest/&lt;b&gt;.csv</code><small>final_label</small>" in page
        and "0.97<small>0.95\N{EN DASH}0.99" in page
    )


def test_a_variant_that_left_the_matrix_does_not_count(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    params["matrix"]["variants"] = ["dapo", "recap"]
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    assert run_stage(folder).returncode == 0
    tables = json.loads((folder / "reports/tables.json").read_text(encoding="utf-8"))
    assert [cell["variant"] for cell in tables["cells"]] == ["dapo", "recap"]
    assert "base-0" not in (folder / "reports/index.html").read_text(encoding="utf-8")


def test_a_missing_cell_is_one_message(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    (folder / "results/rates/dapo-0.json").unlink()
    before = (folder / "reports/index.html").read_bytes()
    result = run_stage(folder)
    assert result.returncode == 2
    assert result.stderr.strip() == (
        "DataError: Expected the file results/rates/dapo-0.json, found none. "
        "Run the stage that makes it."
    )
    assert (folder / "reports/index.html").read_bytes() == before


def test_what_was_not_measured_does_not_show(tmp_path: Path) -> None:
    """A run of the first benchmarks alone: no figure of the others, no zero in their place."""
    first = [row for row in PLAN if row[0] in ("harmful", "prefill", "benign", "math")]
    make_run(tmp_path, plan=tuple(first), prompts=12)
    for path in (tmp_path / "results/agreement").iterdir():
        nothing = CellAgreement(
            variant=path.stem.split("-")[0], seed=0, agreements=[], calibration=[], brier=None
        )
        write_json(path, nothing)
    result = run_stage(tmp_path)
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "reports/index.html").read_text(encoding="utf-8")
    ids = {found.get("id") for _, found in Elements(page).tags}
    assert not ids & {"adversaries", "resets", "search", "grid", "brittleness", "judges", "sweeps"}
    assert {"attacks", "cost", "pareto", "claims", "paper", "beta", "table"} <= ids
    assert "Prefill search" not in page and "Its own worst thought" not in page
    claims = json.loads((tmp_path / "reports/tables.json").read_text(encoding="utf-8"))["claims"]
    assert [claim["verdict"] for claim in claims][2:6] == [
        "not measured",
        "not measured",
        "cannot tell",
        "not measured",
    ]


def test_long_texts_stay_within_the_budget(tmp_path: Path) -> None:
    """Thoughts of thousands of words, as an 8B model writes, with signs that escaping lengthens."""
    make_run(tmp_path, prompts=10, padding=' a "quoted" <tag> & more' * 400)
    result = run_stage(tmp_path)
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "reports/index.html").read_text(encoding="utf-8")
    assert 1_000_000 < len(page.encode()) < 5_000_000
    cards = [found for tag, found in Elements(page).tags if found.get("class") == "card"]
    assert len(cards) == 8 * len({row[0] for row in PLAN})
    assert "characters…]" in page


def test_the_markdown_has_numbers_and_no_text_of_a_model(run_folder: Path) -> None:
    text = (run_folder / "reports/report.md").read_text(encoding="utf-8")
    text = text.replace("\N{EN DASH}", "-")
    assert text.startswith("## Given a flawed thought, RECAP still answers safely 98 %")
    assert (
        "| Prefill attack | safe | 6.9 [4.6-10.2] | 41.9 [36.6-47.3] | 98.4 [96.4-99.3] |" in text
    )
    assert "**Gate: passed**" in text
    assert "| 6 | A binary reward and GRPO keep the order | - not measured |" in text
    assert "poison" not in text and "kettle" not in text and "script" not in text
    assert len(text) < 10_000


def test_tables_carry_the_claims_and_slopes(run_folder: Path) -> None:
    tables = json.loads((run_folder / "reports/tables.json").read_text(encoding="utf-8"))
    assert [claim["number"] for claim in tables["claims"]] == list(range(1, 10))
    search = [row for row in tables["benchmarks"] if row["name"] == "search"]
    assert [(row["at"], row["main"]) for row in search] == [
        ("best of 1", False),
        ("best of 2", False),
        ("best of 4", False),
        ("best of 8", False),
        ("best of 16", True),
    ]
    assert {row["variant"] for row in tables["slopes"]} == {"base", "dapo", "recap"}
    assert tables["replicates"] == []


def test_several_seeds_have_a_mean_and_a_spread(tmp_path: Path) -> None:
    make_run(tmp_path, prompts=12, seeds=(0, 1))
    result = run_stage(tmp_path)
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "reports/index.html").read_text(encoding="utf-8")
    assert "Over training seeds" in page
    # DAPO under prefill: 134 and 141 of 320, so 41.9 and 44.1 %
    assert "<td>43.0 ± 1.5</td>" in page


@pytest.mark.parametrize(
    ("ci", "root", "skips"),
    [("true", 0, False), ("true", 1000, True), (None, 0, True)],
)
def test_in_ci_a_browser_that_could_be_installed_is_not_skipped(
    monkeypatch: pytest.MonkeyPatch, ci: str | None, root: int, skips: bool
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/x" if name == "apt-get" else None)
    monkeypatch.setattr("os.geteuid", lambda: root)
    monkeypatch.delenv("CI", raising=False)
    if ci:
        monkeypatch.setenv("CI", ci)
    assert (missing() is not None) is skips


@pytest.fixture(scope="module")
def page(run_folder: Path) -> Iterator[Page]:
    """A browser; the file of the page is ``run_folder / "reports/index.html"``."""
    with chromium() as opened:
        yield opened


@needs_browser
def test_a_browser_runs_only_our_script(run_folder: Path, page: Page) -> None:
    page.open(run_folder / "reports/index.html", width=1200)
    assert page.said == []
    assert str(page.evaluate("document.title")).startswith("RECAP: Given a flawed thought")
    # what a completion tried is shown as text
    page.evaluate("document.querySelector('#reveal').click()")
    shown = page.evaluate("document.querySelector('.cards').innerText")
    assert "<script>document.title='stolen'" in shown
    assert page.evaluate("document.querySelectorAll('.cards script, .cards img').length") == 0
    assert page.evaluate("document.scripts.length") == 1


@needs_browser
def test_the_plots_are_there(run_folder: Path, page: Page) -> None:
    page.open(run_folder / "reports/index.html", width=1200)
    drawn = page.evaluate(
        "[...document.querySelectorAll('figure svg')].filter(s => s.getBoundingClientRect().width"
        " > 40 && s.querySelector('path, rect.bar, circle')).length"
    )
    assert drawn > 60
    empty = (
        "[...document.querySelectorAll('figure')].filter(f => !f.querySelector('svg, td')).length"
    )
    assert page.evaluate(empty) == 0
    for section in (
        "resets",
        "search",
        "grid",
        "brittleness",
        "pareto",
        "tokens",
        "beta",
        "judges",
    ):
        assert page.evaluate(f"document.getElementById('{section}') !== null"), section


@needs_browser
def test_the_filters(run_folder: Path, page: Page) -> None:
    page.open(run_folder / "reports/index.html", width=1200)
    visible = "[...document.querySelectorAll('.card')].filter(c => c.offsetParent !== null)"
    assert page.evaluate(f"{visible}.every(c => c.dataset.benchmark === 'prefill')")
    assert page.evaluate(f"{visible}.length") == 8
    _choose(page, "benchmark", "")
    every = page.evaluate(f"{visible}.length")
    assert every == 8 * len({row[0] for row in PLAN})
    assert page.evaluate("document.querySelector('.filters output').textContent") == (
        f"{every} prompts"
    )
    _choose(page, "attack", "ipr")
    assert page.evaluate(
        f"[...new Set({visible}.map(c => c.dataset.benchmark))].sort().join()"
    ) == ("benign_ipr,ipr")
    _choose(page, "attack", "")
    _choose(page, "variant", "recap")
    columns = "[...document.querySelectorAll('.column')].filter(c => c.offsetParent !== null)"
    assert page.evaluate(f"{columns}.every(c => c.dataset.variant === 'recap')")
    page.evaluate("document.querySelector('[name=changed]').click()")
    changed = page.evaluate(f"{visible}.length")
    assert 0 < changed < every
    assert page.evaluate(f"{visible}.every(c => c.dataset.changed === 'yes')")


@needs_browser
def test_without_scripts_everything_shows(run_folder: Path, page: Page) -> None:
    page.open(run_folder / "reports/index.html", width=1200, scripts=False)
    shown = "[...document.querySelectorAll('.card')].filter(c => c.offsetParent !== null).length"
    page.call("Emulation.setScriptExecutionDisabled", value=False)
    assert page.evaluate(shown) == 8 * len({row[0] for row in PLAN})
    assert page.evaluate("document.querySelector('.filters').hidden") is True


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_a_picture_of_the_page(
    run_folder: Path, page: Page, tmp_path: Path, width: int, dark: bool
) -> None:
    """It is drawn in its colours, is not blank, and nothing reaches beyond the screen."""
    page.open(run_folder / "reports/index.html", width=width, dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = (
        "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') && "
        "e.getBoundingClientRect().right > innerWidth + 1).length"
    )
    assert page.evaluate(wide) == 0
    page.picture(tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.size == (width, 900)
        colours = picture.convert("RGB").getcolors(maxcolors=2**24) or []
    paper = max(colours)[1]
    assert sum(paper) < 90 if dark else sum(paper) > 690
    assert len(colours) > 100  # text and bars, not one colour
    ink = sum(count for count, colour in colours if colour != paper) / (width * 900)
    assert 0.02 < ink < 0.6


def _choose(page: Page, name: str, value: str) -> None:
    page.evaluate(
        f"(() => {{ const field = document.querySelector('[name={name}]'); field.value = '{value}';"
        " field.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )
