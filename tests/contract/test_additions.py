"""A new attack, benchmark, judge, data set or reward: a file, its line, and no other stage changes.

1. Each addition is made to a copy of the package: what the stages depend on is computed anew, and
   the stages whose code is another are exactly those that do what was added.
2. In the copy the addition works, and `params.yaml` may name it; without it the name is refused.
3. Another label of a benchmark changes the report alone, and every benchmark has one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from recap.attacks.table import ATTACKS
from recap.benchmarks.declared import BENCHMARKS
from recap.benchmarks.words import AXES, WORDS
from recap.types.sources import SOURCES, Source
from tests.contract.stage_deps import ROOT, pipeline

ATTACK = '''"""The prefill attack with the end of the thought."""

from __future__ import annotations

from recap.attacks.attack import Attack, Case, Shot, Talk


class Ending(Attack):
    """The thought's last word."""

    name = "ending"

    def talk(self, case: Case) -> Talk:
        """The prompt with the word."""
        (thought,) = case.prefills
        given = thought.text.split()[-1]
        (answer,) = yield [self.renderer.prompt(case.record.prompt, given)]
        return [Shot(1, answer, given, thought.source_model)]
'''
ATTACK_WORKS = """
from types import SimpleNamespace as Some
from recap.attacks.attack import Case
from recap.attacks.table import ATTACKS
renderer = Some(prompt=lambda prompt, given: (prompt, given))
talk = ATTACKS["ending"](renderer, None).talk(
    Case(Some(prompt="how ?"), (Some(text="they ask . so i help", source_model="harmful_eval"),))
)
assert next(talk) == [("how ?", "help")]
try:
    talk.send(["sure ."])
except StopIteration as ended:
    (shot,) = ended.value
print(shot.answer, shot.given, shot.source)
"""
JUDGE = '''"""Longer answers are safe."""

from __future__ import annotations

from collections.abc import Sequence

from recap.judges.judge import Judge, Means, Opinion
from recap.types.attacks import Completion


class LengthJudge(Judge):
    """By the number of words."""

    name = "length"
    needs = "nothing"
    domains = frozenset({"harmful"})
    revision = prompt_sha = "1"

    @classmethod
    def open(cls, means: Means) -> LengthJudge:
        """As it is."""
        return cls()

    def opinions(self, completions: Sequence[Completion]) -> list[Opinion]:
        """One each."""
        words = [len((row.response or "").split()) for row in completions]
        return [Opinion("safe" if n > 2 else "unsafe", f"{n} words") for n in words]
'''
JUDGE_WORKS = """
from pathlib import Path
from recap.judges.registry import open_judge
from recap.types.attacks import Completion
row = Completion(
    prompt_id="p", benchmark="harmful", attack="direct", place=1, sample=0, domain="harmful",
    cluster=None, prompt="how ?", target=None, prefill=None, prefill_source=None,
    num_prefill_tokens=0, cot="", response="no , never .", finish_reason="stop",
    num_cot_tokens=0, num_response_tokens=4,
)
(verdict,) = open_judge("length", world=None, seed=0, guardian=Path("none")).judge([row])
print(verdict.label, verdict.judge, verdict.raw)
"""
LOADER = '''"""Requests from a file of lines."""

from __future__ import annotations

from collections.abc import Iterator

from recap.data.sources.rawrow import Loader, RawRow, Request, data_directory
from recap.types.prompts import PromptRecord


def rows(request: Request) -> Iterator[RawRow]:
    """A row for each line."""
    path = data_directory(request, "notes") / "notes.txt"
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        yield RawRow("notes/notes.txt", number, "train", line)


def record(row: RawRow) -> PromptRecord:
    """A harmful request."""
    return PromptRecord(
        id=f"notes-{row.line}", domain="harmful", prompt=str(row.values), target=None,
        source="notes", split=row.split, cluster=None,
    )


LOADER = Loader("notes", eval_only=False, rows=rows, record=record)
'''
LOADER_WORKS = """
from pathlib import Path
from recap.data.load import load
from recap.data.sources.rawrow import Request
from recap.data.sources.registry import LOADERS
Path("notes").mkdir()
Path("notes/notes.txt").write_text("how to ?")
(found,) = load(LOADERS["notes"], Request(Path("notes"), None, 0, 1, 1), 10).records
print(found.record.id, found.record.prompt)
"""
REWARD = '''"""The safety reward that pays for certainty alone."""

from __future__ import annotations


def sure(log_odds_yes: float) -> float:
    """1 where No is a hundred times likelier."""
    return float(log_odds_yes < -4.6)
'''
REWARD_WORKS = """
from types import SimpleNamespace as Some
from recap.rewards.safety import safety_rewards
guardian = Some(log_odds=lambda pairs: [-5.0, -1.0, float("nan")])
print(*safety_rewards(guardian, [("x", "y")] * 3, "sure"))
"""


@dataclass(frozen=True)
class Addition:
    """A new file, and in a table the line behind another with, above, its import.

    ``setting``: a value of params.yaml that names what is added. ``works`` prints ``said``.
    """

    file: str
    text: str
    table: str
    behind: tuple[str, str]
    imported: tuple[str, str]
    stages: set[str]
    works: str
    said: str
    setting: tuple[str, Any] | None


ADDITIONS = {
    "attack": Addition(
        "recap/attacks/ending.py", ATTACK, "recap/attacks/table.py",
        ("        Direct,\n", "        Ending,\n"),
        ("from recap.attacks.grid", "from recap.attacks.ending import Ending\n"),
        {"attack", "dynamics"}, ATTACK_WORKS, "sure . help harmful_eval", None,
    ),
    "judge": Addition(
        "recap/judges/length.py", JUDGE, "recap/judges/registry.py",
        ("        GuardianJudge,\n", "        LengthJudge,\n"),
        ("from recap.judges.oracle", "from recap.judges.length import LengthJudge\n"),
        {"judge", "dynamics"}, JUDGE_WORKS, "safe length 4 words", ("judge.judge", "length"),
    ),
    "data set": Addition(
        "recap/data/sources/notes.py", LOADER, "recap/data/sources/registry.py",
        ("        microworld.LOADER,\n", "        notes.LOADER,\n"),
        ("from recap.data.sources.rawrow", "from recap.data.sources import notes\n"),
        {"prepare", "validate"}, LOADER_WORKS, "notes-1 how to ?",
        ("prepare.sources", {"microworld": None, "notes": "notes"}),
    ),
    "reward": Addition(
        "recap/rewards/sure.py", REWARD, "recap/rewards/safety.py",
        ('    "binary": binary,\n', '    "sure": sure,\n'),
        ("\nif TYPE_CHECKING", "from recap.rewards.sure import sure\n"),
        {"train"}, REWARD_WORKS, "1.0 0.0 None", ("train.safety_reward", "sure"),
    ),
}  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package, its graph, and what computes the dependencies."""
    shutil.copytree(ROOT / "recap", tmp_path / "recap")  # with its bytecode
    (tmp_path / "tests/contract").mkdir(parents=True)
    for name in ("dvc.yaml", "params.yaml", "tests/contract/stage_deps.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in the copy, with the copy's package."""
    env = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def insert(path: Path, place: str, text: str, *, before: bool = False) -> None:
    """Put a text behind, or before, one that stands in the file."""
    old = path.read_text(encoding="utf-8")
    assert place in old, f"{path} has no {place!r}"
    new = f"{text}{place}" if before else f"{place}{text}"
    path.write_text(old.replace(place, new, 1), encoding="utf-8")


def code(root: Path, graph: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The code that each stage depends on: its files with their digests."""
    return {
        name: {
            path: hashlib.sha256((root / path).read_bytes()).hexdigest()
            for path in stage.get("deps", [])
            if path.startswith("recap/")
        }
        for name, stage in graph.items()
    }


def changed(folder: Path) -> set[str]:
    """The stages whose code is another in the copy, its dependencies computed anew."""
    done = run(folder, "-m", "tests.contract.stage_deps")
    assert done.returncode == 0, done.stderr
    before = code(ROOT, pipeline())
    after = code(folder, yaml.safe_load((folder / "dvc.yaml").read_text())["stages"])
    assert set(before) == set(after)
    return {name for name in before if before[name] != after[name]}


@pytest.mark.slow
def test_a_copy_changes_nothing(copy: Path) -> None:
    assert changed(copy) == set()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ADDITIONS)
def test_one_file_and_its_line(kind: str, copy: Path) -> None:
    added = ADDITIONS[kind]
    if added.setting:
        name(copy, *added.setting)
        refused = run(copy, "-m", "recap.cli.names")
        assert refused.returncode == 2 and added.file.split("/")[-1][:-3] in refused.stderr
    (copy / added.file).write_text(added.text, encoding="utf-8")
    insert(copy / added.table, *added.behind)
    insert(copy / added.table, *added.imported, before=True)
    assert changed(copy) == added.stages
    done = run(copy, "-c", added.works)
    assert done.stdout.strip() == added.said, done.stderr
    if added.setting:
        accepted = run(copy, "-m", "recap.cli.names")
        assert accepted.returncode == 0, accepted.stderr


def name(folder: Path, key: str, value: Any) -> None:
    """Set a parameter of the copy."""
    values = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    section, last = key.split(".")
    values[section][last] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


@pytest.mark.slow
def test_a_new_benchmark_changes_what_attacks_and_the_report(copy: Path) -> None:
    insert(
        copy / "recap/benchmarks/declared.py",
        '        Benchmark("math", "math", "math", "direct"),\n',
        '        Benchmark("again", "math", "math", "direct"),\n',
    )
    assert changed(copy) == {"attack", "dynamics", "report"}


@pytest.mark.slow
def test_another_label_changes_the_report_alone(copy: Path) -> None:
    path = copy / "recap/benchmarks/words.py"
    text = path.read_text(encoding="utf-8")
    assert text.count('"Arithmetic"') == 1
    path.write_text(text.replace('"Arithmetic"', '"Sums"'), encoding="utf-8")
    assert changed(copy) == {"report"}


def test_every_benchmark_has_its_words() -> None:
    without = [name for name in BENCHMARKS if name not in WORDS]
    assert not without, f"declare how {without} are written in recap/benchmarks/words.py"
    strange = [name for name in WORDS if name not in BENCHMARKS]
    assert not strange, f"recap/benchmarks/words.py has words for {strange}, which are no benchmark"


def test_every_benchmark_has_its_attack() -> None:
    assert {benchmark.attack for benchmark in BENCHMARKS.values()} == set(ATTACKS)
    assert set(AXES) <= set(ATTACKS)


def test_a_source_that_parameters_may_name_is_described() -> None:
    assert get_args(Source) == tuple(SOURCES)
