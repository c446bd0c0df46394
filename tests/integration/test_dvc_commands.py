"""What DVC's own commands show and do, in a small project with the real dvc.yaml's sections.

1. `dvc metrics show` prints every main rate within 80 columns; what is unscored is a dash.
2. `dvc plots show` makes a page with both plots' data.
3. After one run `recap exp run -S`, with `--temp` and with `--queue`, starts from that run and from
   the files as they are, and changes nothing in the clone; a failed experiment's exit code is kept.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.integration.flow_project import ROOT, call, make_project
from tests.integration.report_run import make_run, run_stage

STAGES = {
    "train": {
        "matrix": {"variant": ["recap"], "seed": [0]},
        "cmd": "mkdir -p models/trained; "
        "echo ${train.updates} > models/trained/${item.variant}-${item.seed}",
        "outs": ["models/trained/${item.variant}-${item.seed}"],
    },
    "report": {
        "cmd": "mkdir -p results && cp -r made/percent made/plots results/",
        "deps": ["made", "models/trained/recap-0"],
        "outs": ["results/percent", "results/plots"],
    },
}
PERCENT = """\
Path                                 base-0    dapo-0    recap-0
results/percent/benign.json          71.9      97.8      96.6
results/percent/benign_prefill.json  8.1       11.9      95.9
results/percent/harmful.json         75.9      99.7      99.1
results/percent/hijack.json          1.9       30.9      97.5
results/percent/ipr.json             1.9       18.1      95.3
results/percent/jailbreak.json       55.0      86.9      98.4
results/percent/math.json            73.1      72.2      73.4
results/percent/prefill.json         6.9       41.9      98.4
results/percent/search.json          0.0       8.1       -
results/percent/self_prefill.json    11.9      50.9      98.1
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone after one run."""
    made = tmp_path_factory.mktemp("made")
    make_run(made, prompts=12)
    unscore(made / "results/rates/recap-0.json", "search")
    reported = run_stage(made)
    assert reported.returncode == 0, reported.stderr
    sections = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    folder = tmp_path_factory.mktemp("project") / "clone"
    for name in ("percent", "plots"):
        shutil.copytree(made / "results" / name, folder / "made" / name)
    make_project(folder, yaml.safe_dump({**sections, "stages": STAGES}, sort_keys=False))
    dvc(folder, "repro")
    return folder


def unscore(path: Path, benchmark: str) -> None:
    """Take the last rate of a benchmark away."""
    cell = json.loads(path.read_text(encoding="utf-8"))
    last = [row for row in cell["results"] if row["benchmark"] == benchmark][-1]
    last["rate"] |= {
        "value": None,
        "low": None,
        "high": None,
        "cluster_low": None,
        "cluster_high": None,
        "n_unscored": last["rate"]["n"],
        "n": 0,
    }
    path.write_text(json.dumps(cell), encoding="utf-8")


def dvc(folder: Path, *arguments: str) -> str:
    """What a command of DVC prints on 80 columns."""
    done = call(folder, "-m", "dvc", *arguments, COLUMNS="80")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_metrics_show_the_rates_in_80_columns(ran: Path) -> None:
    shown = dvc(ran, "metrics", "show")
    assert [line.rstrip() for line in shown.splitlines()] == PERCENT.splitlines()


def test_plots_show_makes_a_page(ran: Path, tmp_path: Path) -> None:
    dvc(ran, "plots", "show", "-o", str(tmp_path / "plots"))
    page = (tmp_path / "plots/index.html").read_text(encoding="utf-8")
    assert '{"benchmark": "hijack", "cell": "recap-0", "rate": 97.5, "rev": "workspace"' in page
    assert '{"benchmark": "search", "cell": "recap-0", "rate": null, "rev": "workspace"' in page
    assert page.count('"reward": ') > 100 and "Mean reward by update" in page


def test_experiments_leave_the_clone_as_it_was(ran: Path) -> None:
    with (ran / "params.yaml").open("a", encoding="utf-8") as stream:
        stream.write("# not committed\n")
    assert b"\n  updates: 80 " in (ran / "params.yaml").read_bytes()
    watched = ("params.yaml", "dvc.lock", ".git/index", "models/trained/recap-0")
    before = {name: (ran / name).read_bytes() for name in watched}

    exp(ran, "run", "-n", "beside", "-S", "train.updates=2", "-s", "train@recap-0")
    beside = ran / ".recap/exp"
    assert (beside / "models/trained/recap-0").read_text() == "2\n"
    assert git(beside, "show", "HEAD:params.yaml").encode() == before["params.yaml"]
    said = exp(ran, "run", "--temp", "-n", "aside", "-S", "train.save_updates=3")
    assert "Stage 'train@recap-0' didn't change, skipping" in said  # the last run is its start
    exp(ran, "run", "--queue", "-n", "later", "-S", "train.updates=4")
    exp(ran, "run", "--run-all")

    assert {name: (ran / name).read_bytes() for name in watched} == before
    assert git(ran, "status", "--porcelain") == " M params.yaml\n"
    kept = "Exp|train.updates|.*/prefill.json:recap"  # as in docs/dvc.md
    shown = exp(ran, "show", "--drop", ".*", "--keep", kept)
    rows = dict(re.findall(r"\[(\w+)\] +(98.4 +\d+) *$", shown, re.MULTILINE))
    assert {name: row.split() for name, row in rows.items()} == {
        "beside": ["98.4", "2"],
        "aside": ["98.4", "80"],
        "later": ["98.4", "4"],
    }
    assert max(map(len, shown.splitlines())) <= 80

    failed = call(ran, "-m", "recap", "exp", "run", "-S", "train.no_such_key=1")
    assert failed.returncode == 255 and "train.no_such_key" in failed.stderr


def exp(folder: Path, *arguments: str) -> str:
    """What an experiment prints on 80 columns."""
    done = call(folder, "-m", "recap", "exp", *arguments, COLUMNS="80")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout
