"""The report stage as a process, over a made-up run: page, table, safety, determinism, a browser.

1. The stage writes both files; running it again writes the same bytes.
2. The page refers to nothing outside itself and only its own script may run.
3. Text of a model is shown as text; a browser runs none of it.
4. A variant that left the matrix does not count, though its files are still there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from tests.integration.report_run import make_run, run_stage


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    result = run_stage(folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_same_inputs_give_the_same_bytes(run_folder: Path) -> None:
    page, tables = run_folder / "reports/index.html", run_folder / "reports/tables.json"
    before = page.read_bytes(), tables.read_bytes()
    assert run_stage(run_folder).returncode == 0
    assert (page.read_bytes(), tables.read_bytes()) == before


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
    title = (
        "Handed a flawed thought, RECAP still answers safely 98 % of the time; its DAPO twin, 42 %"
    )
    assert f"<h1>{title}</h1>".replace(" %", "\N{NO-BREAK SPACE}%") in page
    for words in ("gate passed", "this world", "wrong_start: 0.2", "results/rates/base-0.json"):
        assert words in page
    claim = (
        "At most half of it is shown here: DAPO leads at update 20 (90 % against 65 %), the "
        "intervals apart; RECAP leads nowhere."
    )
    assert claim.replace(" %", "\N{NO-BREAK SPACE}%") in page
    assert 'aria-label="Jailbreaks by update"' in page
    assert "results/dynamics/recap-0.json" in page


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


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a chromium browser")
def test_a_browser_runs_only_our_script(run_folder: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={tmp_path}", "--dump-dom",
         (run_folder / "reports/index.html").as_uri()],
        text=True, capture_output=True, check=True, timeout=100,
    )  # fmt: skip
    assert "<title>RECAP: Handed a flawed thought" in result.stdout
    assert '<div class="filters" data-first="prefill">' in result.stdout
    assert 'aria-pressed="true">Prefill attack</button>' in result.stdout
