"""Documents and configuration say what is there: README's tree, make targets, pinned packages."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from recap.params.checks import check_pipeline
from recap.params.whole import Params, read_params
from tests.contract.stage_deps import ROOT

GUIDES = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
DOCUMENTS = [ROOT / "README.md", *GUIDES, *sorted((ROOT / "docs").glob("**/*.md"))]


def test_readme_tree_is_the_tree() -> None:
    shown = set(tree_paths((ROOT / "README.md").read_text(encoding="utf-8")))
    assert {path for path in shown if not (ROOT / path).exists()} == set()
    packages = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "recap").iterdir()
        if (path / "__init__.py").is_file()
    }
    assert packages - shown == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_only_targets_and_commands_that_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", text)) <= targets
    cli = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "recap/cli").glob("*.py"))
    commands = set(re.findall(r"@app\.command\(.*\)\ndef (\w+)", cli))
    commands |= set(re.findall(r"^app\.command\(\)\((\w+)\)", cli, re.MULTILINE))
    groups = set(re.findall(r'app\.add_typer\(\w+, name="(\w+)"', cli))
    assert set(re.findall(r"`recap ([a-z]+)", text)) <= commands | groups
    for group in groups:
        known = set(re.findall(rf'@{group}_app\.command\("(\w+)"\)', cli))
        assert set(re.findall(rf"`recap {group} ([a-z]+)", text)) <= known


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_guides_name_only_files_and_sections_that_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tops = "recap|tests|infra|docs|flows|experiments"
    named = set(re.findall(rf"`((?:{tops})/[^`]*)`", text))
    named |= {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text)}
    assert {name for name in named if not (ROOT / name).exists()} == set()
    assert len(named) >= {"CONTRIBUTING.md": 40, "SECURITY.md": 2}[path.name]
    for name, section in re.findall(r'`(docs/\w+\.md)`, section "?([A-Z][\w, ]*\w)', text):
        assert re.search(rf"^##+ {section}", (ROOT / name).read_text("utf-8"), re.MULTILINE), (
            section
        )


def test_nobody_writes_the_words_that_the_style_page_refuses() -> None:
    style = (ROOT / "docs/style.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"Do not write: (.*?)\. A contract test", style, re.DOTALL)
    words = re.split(r",\s+", listed)
    assert len(words) == 15
    pattern = re.compile(rf"\b({'|'.join(words)})\b", re.IGNORECASE)
    assert pattern.findall("Utilize it; lest it wilts.") == ["Utilize", "lest"]
    exempt = {ROOT / "docs/style.md", ROOT / "docs/decisions/0020-prose-linter.md"}
    code = [
        path for top in ("recap", "flows", "experiments") for path in (ROOT / top).rglob("*.py")
    ]
    templates = (ROOT / "recap/report/template").rglob("*.j2")
    files = {*DOCUMENTS, *code, *templates, ROOT / "params.yaml", ROOT / "Makefile"} - exempt
    found = {
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for word in pattern.findall(line)
    }
    assert found == set()


def test_what_is_asked_of_each_claim_is_what_the_code_asks() -> None:
    """`recap sweep report` writes it; a margin that moves has to be seen to move."""
    from recap.sweeps.claims import claims_page
    from recap.sweeps.project import read_project
    from recap.sweeps.results import asked

    project = read_project(ROOT)
    written = (ROOT / "docs/results/claims.md").read_text(encoding="utf-8")
    claims = asked(Params.model_validate(project.params), project.design)
    assert written == claims_page(claims)


def test_every_direct_dependency_is_pinned_and_explained() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    direct = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {normal(re.split(r"[<>=]", entry)[0]) for entry in direct}
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in pinned.splitlines() if not line.startswith("#")]
    assert names <= {normal(line.split("==")[0]) for line in lines}
    for entry in direct:
        assert re.search(rf'"{re.escape(entry)}", +# \w', text), f"{entry} has no reason beside it"


def test_the_settings_for_real_data_fit_together(tmp_path: Path) -> None:
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- settings for real data.*?-->\n```yaml\n(.*?)```", text, re.DOTALL)
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section, changes in yaml.safe_load(block).items():
        values[section] |= changes
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    params = read_params(file)
    check_pipeline(params)
    named = params.attack.benchmarks + params.dynamics.benchmarks
    assert "jailbreak" not in named and params.judge.judge != "oracle"
    assert "microworld" not in params.prepare.sources and params.prepare.mixture.benign == 0
    assert params.sources.origins.keys() == set(params.matrix.sources)


@pytest.mark.parametrize(
    ("version", "code"), [("3.10.12", 2), ("3.9.1", 2), ("3.11.0", 0), ("3.12.4", 0)]
)
def test_make_refuses_a_python_that_is_too_old(version: str, code: int, tmp_path: Path) -> None:
    """A stub stands for the interpreter: it answers as one of that version would."""
    pretend = f"import sys; sys.version_info = {tuple(map(int, version.split('.')))}"
    stub = tmp_path / "python"
    stub.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}" && exit 0\n'
        f'[ "$1" = -c ] && exec "{sys.executable}" -c "{pretend}; exec(sys.argv[1])" "$2"\n'
        # the environment is asked for next; the stub makes none, and its pip is the stub itself
        'mkdir -p "$4/bin" && printf "#!/bin/sh\\n" > "$4/bin/python" && chmod +x "$4/bin/python"\n'
    )
    stub.chmod(0o755)
    (tmp_path / "infra").mkdir()
    for name in (
        "Makefile",
        "constraints.txt",
        "constraints.gpu.txt",
        "pyproject.toml",
        "infra/install.py",
    ):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"))
    done = subprocess.run(
        ["make", "install", f"PYTHON={stub}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    expected = f"Expected Python 3.11 or later, got Python {version} from {stub}. Install it"
    assert done.stderr.count(expected) == bool(code)
    assert (tmp_path / ".venv").exists() == (code == 0)


def test_every_number_of_training_is_documented_and_no_other(tmp_path) -> None:
    names = {*rl_names(), *sft_names(tmp_path)}
    patterns = documented(
        "Rewards",
        "Groups",
        "The step",
        "Rollouts",
        "The policy's own",
        "The curriculum",
        "Supervised cells",
        "The machine's",
    )
    assert {name for name in names if not matching(name, patterns)} == set()
    assert {one for one in patterns if not any(matching(name, [one]) for name in names)} == set()


def test_every_number_of_evaluation_is_documented() -> None:
    from recap.tracking.measures import named_rates, named_reflection, snapshot_lines
    from recap.types.results import (
        BenchmarkResult,
        DynamicsResult,
        Metric,
        PassAtK,
        ReflectionSummary,
        RubricScore,
        SnapshotResult,
    )

    rate = Metric(
        value=0.5,
        low=0.4,
        high=0.6,
        cluster_low=0.3,
        cluster_high=0.7,
        n=9,
        n_unscored=1,
        n_incomplete=2,
    )
    row = BenchmarkResult(
        benchmark="prefill",
        place=1,
        domain="harmful",
        score="safe",
        rate=rate,
        reflection=rate,
        thought=rate,
        rubric=RubricScore(value=0.5, low=None, high=None, n=9),
        pass_at_k=[PassAtK(k=2, value=0.7, low=0.6, high=0.8, n_prompts=3)],
        mean_reflection_position=0.5,
        mean_cot_tokens=3.0,
        mean_response_tokens=2.0,
    )
    pool = ReflectionSummary(domain="benign", prefilled=True, rate=rate, mean_position=0.5)
    names = {name for name, _ in (*named_rates([row]), *named_reflection([pool]))}
    names |= {name for name, _ in named_rates([row, row.model_copy(update={"place": 2})])}
    assert {"prefill/safe_low", "prefill/round_2/safe", "prefill/unscored"} <= names
    described = documented("Evaluation")
    assert {name for name in names if not matching(name, described)} == set()
    assert {one for one in described if not any(matching(name, [one]) for name in names)} == set()
    snapshots = [SnapshotResult(update=1, results=[row])]
    (line,) = snapshot_lines(DynamicsResult(variant="dapo", seed=0, snapshots=snapshots))
    dynamics = line.keys() - {"update"}
    assert {name for name in dynamics if not matching(name, documented("Dynamics"))} == set()


def rl_names() -> set[str]:
    """What an update of RL logs with everything on that adds numbers."""
    from recap.prefill.inject import Injection
    from recap.rl import curriculum
    from recap.rl.collection import Collection
    from recap.rl.metrics import Speed, update_metrics, with_speed
    from recap.rl.self_prefill import SelfPrefills
    from tests.golden.rl_cases import group

    stream = SimpleNamespace(chosen=lambda *_: [], cursor=0, own={})
    own = SelfPrefills(stream, *[None] * 5, seed=0)  # type: ignore[arg-type]  # all it asks of it
    injection = Injection({"harmful": 0.5, "benign": 0.5}, "exact", (1, 4), "words")
    drawn = group(1, prompt=[1], completions=[[2]], logprobs=[[-1.0]], rewards=[0.5])
    seen = Collection(
        groups=[drawn],
        fates=["kept"],
        rounds=1,
        self_prefill=own.numbers(),
        curriculum=curriculum.numbers(injection, [], 0.9),
    )
    line = update_metrics(
        1, seen, [], batch_groups=1, tau=0.9, epoch=0.0, learning_rate=0.0, carries=True
    )
    return set(with_speed(line, Speed(gemm_peak=None, total=1.0)))


def sft_names(tmp_path: Path) -> set[str]:
    """What an update of supervised training logs."""
    from recap.rl.metrics import with_speed
    from recap.sft.documents import Document, DocumentStream
    from recap.sft.trainer import SftTrainer
    from tests.tiny import TOKENIZER, tiny_policy

    stream = DocumentStream([Document("math", (11, 12), (13, 14))], seed=0)
    trainer = SftTrainer(
        tiny_policy(), TOKENIZER, stream, updates=1, batch_tokens=8, learning_rate=1e-3
    )
    return set(with_speed(*trainer.update(1)))


def documented(*sections: str) -> list[str]:
    """The names in the tables of docs/metrics.md under headings that begin so.

    ``.what`` has the beginning of the name before it.
    """
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    found: list[str] = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        if section.startswith(sections):
            cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
            for name in re.findall(r"`(.*?)`", " ".join(cells)):
                found.append(found[-1].rsplit(".", 1)[0] + name if name[0] == "." else name)
    return found


PLACES = {
    "<b>": r"[a-z_]+(/round_\d+)?",
    "<score>": "(safe|helpful|correct)",
    "<domain>": "(harmful|benign|math)",
    "<k>": r"\d+",
    "<part>": "(generation|scoring|forward|backward|other)",
    "<pool>": "(clean|prefilled)",
}


def matching(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is one of the documented."""
    for pattern in patterns:
        expression = re.escape(pattern)
        for place, values in PLACES.items():
            expression = expression.replace(re.escape(place), values)
        if re.fullmatch(expression, name):
            return True
    return False


def tree_paths(readme: str) -> Iterator[str]:
    """Paths named in the fenced block that shows ``recap/``, by indentation."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    block = next(found for found in blocks if re.search(r"^recap/\s*$", found, re.MULTILINE))
    parents: list[tuple[int, str]] = []
    for line in block.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        while parents and parents[-1][0] >= indent:
            parents.pop()
        names = re.split(r"\s{2,}", line.strip())[0].split()
        above = parents[-1][1] if parents else ""
        for name in names:
            yield f"{above}{name}".rstrip("/")
        if names[-1].endswith("/"):
            parents.append((indent, f"{above}{names[-1]}"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
