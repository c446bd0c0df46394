"""The command line as its user meets it, in real DVC projects of shell stages."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recap.cli.seed import write_seed
from recap.errors import ParameterError
from recap.rows import write_json
from recap.runtime.child import start
from recap.types.decisions import GateCheck, GateDecision
from tests.integration.flow_project import ROOT, call, child_environment, make_project
from tests.unit.test_summary import TABLES
from tests.waiting import until

HEAVY = {"torch", "transformers", "mlflow", "prefect", "dvc", "pandas", "great_expectations"}


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from recap.cli.main import app; app(['--help'], standalone_mode=False)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "promote" in done.stdout
    assert HEAVY & set(done.stderr.split()) == set()


INTERRUPTED = """
import sys

class Interrupts:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupts())
from {package}.__main__ import main
main()
"""


@pytest.mark.parametrize(("package", "imported"), [("recap", "recap.cli.main"), ("flows", "typer")])
def test_an_interrupt_while_it_loads_has_no_traceback(package: str, imported: str) -> None:
    code = INTERRUPTED.format(package=package)
    done = subprocess.run([sys.executable, "-c", code, imported], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_the_journey_asks_for_a_run_and_not_for_options(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    done = call(tmp_path, "-m", "recap", "journey")
    assert done.returncode == 2
    assert "Expected" in done.stderr
    assert "option" not in done.stderr
    assert not (tmp_path / "docs").exists()


@pytest.mark.slow
def test_plan_says_what_would_run_and_why(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    assert call(project, "-m", "dvc", "repro", "-q").returncode == 0
    assert "Everything is up to date." in call(project, "-m", "recap", "plan").stdout
    write_seed(project / "params.yaml", 5)
    plan = call(project, "-m", "recap", "plan").stdout
    assert "2 of 3 stages changed, 1 more may follow" in plan
    assert re.search(r"first@a +. seed modified", plan)
    assert re.search(r"last +. if first@a changes; if first@b changes", plan)
    (project / "all.txt").unlink()
    write_seed(project / "params.yaml", 0)
    plan = call(project, "-m", "recap", "plan").stdout
    assert re.search(r"last +. output all.txt deleted", plan)
    assert "1 of 3 stages changed, 0 more may follow" in plan


def test_a_wrong_parameter_stops_before_anything_starts(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("seed: 0 ", "sede: 0 ", 1))
    ran = call(project, "-m", "recap", "run")
    assert ran.returncode == 2
    assert "ParameterError: params.yaml has parameters that do not fit:" in ran.stderr
    assert "sede: there is no such parameter; the nearest name is 'seed'" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (project / ".recap").exists()


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_model_that_is_not_there_stops_before_dvc_is_asked(command: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(
        (ROOT / "params.yaml")
        .read_text()
        .replace("  origins: {}  ", "  origins: {policy: no/pe}", 1)
    )
    ran = call(tmp_path, "-m", "recap", command)
    assert ran.returncode == 2
    assert (
        "models.origins.policy: expected a model folder, a .gguf file, a package's file ("
        in ran.stderr
    )
    assert "Traceback" not in ran.stderr and not (tmp_path / ".dvc").exists()


@pytest.mark.slow
@pytest.mark.parametrize("command", [("recap", "run"), ("recap", "plan"), ("flows", "reproduce")])
def test_what_would_stop_the_gate_stops_before_training(
    command: tuple[str, str], tmp_path: Path, api: str
) -> None:
    project = make_project(tmp_path)
    params = project / "params.yaml"
    text = params.read_text()
    assert text.count("\n  candidate: recap\n") == 1
    params.write_text(text.replace("  candidate: recap\n", "  candidate: aligned\n"))
    ran = call(project, "-m", *command, PREFECT_API_URL=api)
    assert ran.returncode == 2
    assert "ParameterError: Expected gate.candidate among matrix.variants (base, dapo or" in (
        ran.stderr
    )
    assert "Traceback" not in ran.stderr
    assert not (project / "a.txt").exists()


def test_doctor_outside_a_clone_says_so(tmp_path: Path) -> None:
    ill = call(tmp_path, "-m", "recap", "doctor")
    assert ill.returncode == 2
    assert f"DataError: Expected a clone of the project in {tmp_path}, found no" in ill.stderr
    assert "constraints.txt, dvc.yaml or params.yaml there." in ill.stderr
    assert "Traceback" not in ill.stderr


def test_an_unreadable_graph_is_one_message(tmp_path: Path) -> None:
    project = make_project(tmp_path, "stages:\n  first:\n    cmd: [\n")
    ran = call(project, "-m", "recap", "plan")
    assert ran.returncode == 2
    assert "PipelineError: Expected DVC to read dvc.yaml and dvc.lock, got:" in ran.stderr
    assert "dvc.yaml" in ran.stderr.split("got:")[1]
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (errno.EROFS, 2, "DataError: Expected to write in "),
        (errno.EACCES, 2, "DataError: Expected to write in "),
        (errno.ENOSPC, 28, "SpaceError: The disk is full: "),
        (errno.EIO, 1, "Traceback"),
    ],
)
def test_a_folder_that_takes_nothing_is_one_message(
    number: int, code: int, said: str, tmp_path: Path
) -> None:
    fail = f"lambda path: (_ for _ in ()).throw(OSError({number}, 'no', '.recap'))"
    script = (
        f"import recap.params.whole as p; p.read_params = {fail}\n"
        "from recap.cli.main import app; app()"
    )
    done = call(tmp_path, "-c", script, "plan")
    assert done.returncode == code
    assert said in done.stderr and ("Traceback" in done.stderr) == (code == 1)


def test_a_folder_that_dvc_cannot_write_to_is_one_message(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    refusing = project / "sitecustomize.py"  # root may write everywhere: a mount would be needed
    refusing.write_text(
        "import zc.lockfile as z\n"
        "def refuse(self, *_, **__): raise OSError(30, 'Read-only file system', '.dvc/tmp/lock')\n"
        "z.LockFile.__init__ = refuse\n"
    )
    ran = call(project, "-m", "recap", "plan", PYTHONPATH=f"{project}{os.pathsep}{ROOT}")
    assert ran.returncode == 2
    assert "got:\n[Errno 30] Read-only file system: '.dvc/tmp/lock'\n" in ran.stderr
    assert "Traceback" not in ran.stderr


CONFLICT = "<<<<<<< HEAD\nschema: '2.0'\n=======\nschema: '2.0'\n>>>>>>> topic\n"


@pytest.mark.slow
def test_conflict_markers_are_one_message_everywhere(tmp_path: Path) -> None:
    """And removing the lock, as advised, runs nothing anew."""
    project = make_project(tmp_path)
    (project / "constraints.txt").write_text("")  # to import what is heavy takes half a minute
    assert call(project, "-m", "dvc", "repro", "-q").returncode == 0
    (project / "dvc.lock").write_text(CONFLICT)
    said = "Expected dvc.lock without conflict markers, got '<<<<<<< HEAD' in line 1."
    for command in ("run", "plan", "publish"):
        asked = call(project, "-m", "recap", command)
        assert asked.returncode == 2
        assert f"DataError: {said}" in asked.stderr and "Traceback" not in asked.stderr
    assert said in call(project, "-m", "recap", "doctor", COLUMNS="200").stdout
    (project / "dvc.lock").unlink()
    again = call(project, "-m", "dvc", "repro").stdout
    assert again.count("is cached - skipping run") == 3 and "working on" not in again


AT_WORK = """\
stages:
  long:
    cmd: echo $$ > pid && exec python -m recap.runtime.child /bin/sleep 300
    outs:
      - long.txt
"""


@pytest.mark.slow
def test_dvc_at_work_is_said_in_our_words(tmp_path: Path) -> None:
    project = make_project(tmp_path, AT_WORK)
    (project / "constraints.txt").write_text("")  # to import what is heavy takes half a minute
    dvc = start(["-m", "dvc", "repro", "-q"], cwd=project, env=child_environment(project))
    try:
        until((project / "pid").exists)
        for command in ("run", "plan"):
            asked = call(project, "-m", "recap", command)
            assert asked.returncode == os.EX_TEMPFAIL
            assert "BusyError: Expected no other DVC process at work in this clone" in asked.stderr
            assert f"(PID {dvc.pid})" in asked.stderr and "Traceback" not in asked.stderr
        found = call(project, "-m", "recap", "doctor", COLUMNS="200").stdout
        assert re.search(rf"mend  run: without the clone's lock: .*{dvc.pid} \(", found)
    finally:
        dvc.terminate()
        dvc.wait()


def test_a_second_run_answers_without_prefect(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    assert call(project, "-m", "dvc", "repro", "-q").returncode == 0
    _finish(project)
    ran = call(project, "-m", "recap", "run", COLUMNS="120")
    assert ran.returncode == 0, ran.stderr
    assert "Everything is up to date." in ran.stdout
    assert "97.2 [94.6, 98.5] 320" in ran.stdout
    assert "Gate: recap-0 against dapo-0 did not pass" in ran.stdout
    assert re.search(r"no +prefill: 1\.5 % \(required: above 50 %\)", ran.stdout)
    assert "reports/index.html" in ran.stdout
    assert not (project / ".recap/prefect").exists()
    assert not (project / "mlflow.db").exists()


def _finish(project: Path) -> None:
    """What a run leaves for people."""
    write_json(project / "reports/tables.json", TABLES)
    check = GateCheck(name="prefill", passed=False, measured="1.5 %", required="above 50 %")
    decision = GateDecision(candidate="recap-0", baseline="dapo-0", passed=False, checks=[check])
    write_json(project / "results/decision.json", decision)


def test_a_report_writes_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    _finish(project)
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*")}
    shown = call(project, "-m", "recap", "report", COLUMNS="120")
    assert shown.returncode == 0, shown.stderr
    assert "97.2 [94.6, 98.5] 320" in shown.stdout
    assert {path: path.stat().st_mtime_ns for path in project.rglob("*")} == before


def test_doctor_names_what_is_wrong_and_its_fix(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (project / "constraints.txt").write_text("")  # to import what is heavy takes half a minute
    well = call(project, "-m", "recap", "doctor", COLUMNS="200")
    assert well.returncode == 0, well.stdout
    assert "well  imports: 0 heavy packages load" in well.stdout
    assert "well  dvc: 3 of 3 stages changed" in well.stdout
    (project / "mlflow.db").write_text("this is no database")
    (project / "constraints.txt").write_text("typer==0.0.1\n")
    ill = call(project, "-m", "recap", "doctor", COLUMNS="200")
    assert ill.returncode == 1
    assert re.search(r"mend  packages: typer \S+ instead of 0\.0\.1", ill.stdout)
    assert "Move mlflow.db aside; `recap publish` makes it anew from the files." in ill.stdout


ROWS = """\
stages:
  rows:
    cmd: mkdir -p results && echo one > results/rows.txt
    outs:
      - results/rows.txt
"""


def test_git_status_is_clean_after_a_run(tmp_path: Path) -> None:
    project = make_project(tmp_path, ROWS)
    ran = call(project, "-m", "dvc", "repro", "-q")
    assert ran.returncode == 0, ran.stderr
    assert (project / "dvc.lock").is_file()
    asked = ["git", "status", "--porcelain"]
    assert subprocess.run(asked, cwd=project, capture_output=True, text=True).stdout == ""


def test_a_project_without_git_runs_and_says_that_no_commit_is_recorded(tmp_path: Path) -> None:
    project = make_project(tmp_path, ROWS)
    shutil.rmtree(project / ".git")
    ran = call(project, "-m", "dvc", "repro", "-q")
    assert ran.returncode == 0, ran.stderr
    write_json(project / "reports/tables.json", TABLES)
    check = GateCheck(name="prefill", passed=False, measured="1.5 %", required="above 50 %")
    decision = GateDecision(candidate="recap-0", baseline="dapo-0", passed=False, checks=[check])
    write_json(project / "results/decision.json", decision)
    ran = call(project, "-m", "recap", "run", timeout=600, COLUMNS="120")
    assert ran.returncode == 0, ran.stderr
    said = "No commit is recorded with these results: this folder is not a git clone."
    assert ran.stderr.count(said) == 1


def test_doctor_reads_the_cache(tmp_path: Path) -> None:
    project = make_project(tmp_path, ROWS)
    (project / "constraints.txt").write_text("")
    assert call(project, "-m", "dvc", "repro", "-q").returncode == 0
    well = call(project, "-m", "recap", "doctor", COLUMNS="200")
    assert well.returncode == 0 and "well  cache: 1 files are sound" in well.stdout, well.stdout
    (kept,) = [path for path in (project / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    kept.chmod(0o644)
    kept.write_text("two\n")
    kept.chmod(0o444)  # else DVC itself finds it out, and deletes it
    ill = call(project, "-m", "recap", "doctor", COLUMNS="200")
    assert ill.returncode == 1 and "mend  cache: 1 of 1 files are damaged" in ill.stdout
    kept.unlink()
    ill = call(project, "-m", "recap", "doctor", COLUMNS="200")
    assert ill.returncode == 1 and "`dvc pull` fetches them from a remote" in ill.stdout
    assert "mend  cache: 1 recorded outputs are not there: results/rows.txt" in ill.stdout


def test_a_live_follower_ends_with_its_input(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    follower = subprocess.Popen(
        [sys.executable, "-m", "recap", "publish", "--follow"],
        cwd=project,
        env=child_environment(project),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = follower.communicate("", timeout=60)
    assert follower.returncode == 0
    assert out.strip() == "MLflow holds 0 runs and no version yet"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: 0\n", "seed: 7\n"),
        (
            "a: 1\nseed: 12   # why\nmatrix:\n  seed: 3\n",
            "a: 1\nseed: 7   # why\nmatrix:\n  seed: 3\n",
        ),
        ("seed: 7\n", "seed: 7\n"),
    ],
)
def test_the_seed_is_written_in_place(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    assert write_seed(path, 7) == (text != expected)
    assert path.read_text() == expected


@pytest.mark.parametrize("text", ["other: 1\n", "seed: 1\nseed: 2\n", "seed: x\n"])
def test_a_seed_that_cannot_be_found_is_an_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match="Set the seed by hand"):
        write_seed(path, 7)
    assert path.read_text() == text
