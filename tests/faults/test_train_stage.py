"""The stage ``train`` as a process, killed, stopped, doubled, on a full disk (numbers: faults.md).

1. SIGKILL while a state, an update, the outputs are written: ends bit-equal to an undisturbed run
2. SIGTERM, to the stage, to ``dvc repro``, to the flow: the update is finished, the state saved,
   143, and the next run continues
3. a second trainer of the same cell leaves with 75 and one message, the first is none the worse
4. a full disk: one message, 28, nothing half-written; with room again it continues
5. a truncated state falls back to the one before; other parameters start in a folder of their own
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.faults.kills import KINDS, copy_inputs, kill_in_turn, measure, survives
from tests.faults.namespace import in_a_namespace
from tests.faults.train_project import (
    LIVE,
    METRICS,
    OUT,
    SAVE,
    SCRATCH,
    UPDATES,
    finish,
    holder,
    leftovers,
    live_lines,
    make_train_project,
    outputs,
    stage_command,
    start_stage,
)
from tests.integration.flow_project import ROOT, child_environment, lock_of, make_project
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A finished project and its pace."""
    project = make_train_project(tmp_path_factory.mktemp("faults") / "undisturbed")
    pace = measure(project)
    assert leftovers(project) == []
    return project, pace


@pytest.fixture
def project(undisturbed, tmp_path):
    return copy_inputs(undisturbed[0], tmp_path / "project")


def test_three_kills_and_it_ends_bit_equal(undisturbed, tmp_path):
    """In an update, then in the writing of a state, then of the outputs; `make faults` has more."""
    whole, pace = undisturbed
    seed = time.time_ns() % 2**32
    print(f"seed {seed}")
    project, left = kill_in_turn(whole, tmp_path, KINDS[:3], random.Random(seed), pace)
    print(*left, sep="\n")
    assert len(left) == 3
    survives(project, outputs(whole))


def test_a_second_trainer_leaves_and_the_first_is_none_the_worse(undisturbed, project):
    first = start_stage(project)
    until(lambda: live_lines(project) >= 1, unless=lambda: first.poll() is not None)
    first.send_signal(signal.SIGSTOP)  # so that it is at it, however long the second takes to start
    try:
        second = start_stage(project)
        _, said = second.communicate(timeout=PATIENCE)
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.returncode == 75
    assert said.strip().splitlines()[-1] == (
        f"BusyError: Expected to be the only trainer of recap-0, but process {first.pid} is at it. "
        "Wait for it, or end it."
    )
    assert "Traceback" not in said
    _, said = first.communicate(timeout=PATIENCE)
    assert first.returncode == 0, said
    assert outputs(project) == outputs(undisturbed[0])
    assert leftovers(project) == []


def test_a_torn_state_and_other_parameters(undisturbed, project):
    stage = start_stage(project)
    until(lambda: live_lines(project) >= 3 * SAVE, unless=lambda: stage.poll() is not None)
    stage.send_signal(signal.SIGINT)  # Ctrl-C in a terminal
    _, said = stage.communicate(timeout=PATIENCE)
    assert stage.returncode == 130, said
    (own,) = (project / SCRATCH).glob("recap-0-*")
    newest = sorted(own.glob("update-*"))[-1]
    done = int(newest.name.removeprefix("update-"))
    assert done == live_lines(project)
    with (newest / "model.safetensors").open("r+b") as stream:
        stream.truncate(100)

    params = yaml.safe_load((project / "params.yaml").read_text())
    other = {**params, "train": {**params["train"], "updates": 1, "save_updates": 1}}
    (project / "params.yaml").write_text(yaml.safe_dump(other))
    finish(project)
    assert live_lines(project) == 1  # from the start, not from the other's state
    assert newest.is_dir()

    (project / "params.yaml").write_text(yaml.safe_dump(params))
    stage = start_stage(project)
    _, said = stage.communicate(timeout=PATIENCE)
    assert stage.returncode == 0, said
    before = (done - 1) // SAVE * SAVE
    assert f"continuing after update {before}\n" in said
    assert outputs(project) == outputs(undisturbed[0])
    assert leftovers(project) == []


PIPELINE = """\
stages:
  train:
    cmd: {command}
    params: [seed, train, variants.recap]
    deps: [models/policy, models/guardian, data]
    outs: [{out}, {metrics}]
"""


def test_sigterm_under_dvc_and_under_prefect(undisturbed, project, monkeypatch):
    """Where no SHELL is set DVC runs a stage by /bin/sh, which may stay between the two."""
    monkeypatch.delenv("SHELL", raising=False)
    params = (project / "params.yaml").read_text()
    make_project(project, PIPELINE.format(command=stage_command(), out=OUT, metrics=METRICS))
    (project / "params.yaml").write_text(params)

    # 1. the flow is told to stop; the stage, deep below, saves where it is
    flow = start_python(project, "-m", "flows", "reproduce")
    first = terminate(flow, project, after=0)
    assert flow.returncode != 0
    assert not (project / OUT).exists()

    # 2. DVC is told to stop
    dvc = start_python(project, "-m", "dvc", "repro")
    second = terminate(dvc, project, after=first)
    assert second > first

    # 3. only the stage is
    stage = start_stage(project)
    until(lambda: live_lines(project) > second, unless=lambda: stage.poll() is not None)
    stage.send_signal(signal.SIGTERM)
    _, said = stage.communicate(timeout=PATIENCE)
    assert stage.returncode == 143
    assert f"continuing after update {second}\n" in said

    # 4. nobody is
    dvc = start_python(project, "-m", "dvc", "repro")
    said, _ = dvc.communicate(timeout=PATIENCE)
    assert dvc.returncode == 0, said
    assert outputs(project) == outputs(undisturbed[0])
    assert leftovers(project) == []
    assert set(lock_of(project)["stages"]) == {"train"}


def start_python(project: Path, *arguments: str) -> subprocess.Popen[str]:
    """As nohup does: the kernel hangs up on a group of which all but a stopped process died."""
    return subprocess.Popen(
        ["nohup", sys.executable, *arguments],
        cwd=project,
        env=child_environment(project),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def terminate(above: subprocess.Popen[str], project: Path, after: int) -> int:
    """Terminate a process above the stage: the update after which the stage stopped.

    The stage stands still until the signal has come down to it, or the process above has died of
    it: so it is still at it. A state of that update has to be there.
    """
    begun = until(lambda: live_lines(project) > after, unless=lambda: above.poll() is not None)
    assert begun, above.communicate()[0]
    stage = holder(project)
    assert stage > 0  # 0 would mean this test's own group
    os.kill(stage, signal.SIGSTOP)
    above.terminate()
    until(lambda: pending(stage, signal.SIGTERM), unless=lambda: above.poll() is not None)
    with contextlib.suppress(ProcessLookupError):  # the kernel continues orphans, and it has ended
        os.kill(stage, signal.SIGCONT)
    above.communicate(timeout=PATIENCE)
    until(lambda: not Path(f"/proc/{stage}/cmdline").exists() or zombie(stage))
    (own,) = (project / SCRATCH).glob("recap-0-*")
    newest = sorted(path.name for path in own.glob("update-*"))[-1]
    numbers = [json.loads(line)["update"] for line in (project / LIVE).read_text().splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert newest == f"update-{len(numbers):06d}"
    assert len(numbers) < UPDATES
    return len(numbers)


def pending(pid: int, number: int) -> bool:
    """Whether the signal has reached the process, which stands still (proc(5): ShdPnd)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has ended
        return True
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_full_disk_is_one_message_and_nothing_half_written(undisturbed, project):
    namespace = in_a_namespace()
    if namespace is None:
        pytest.skip("this system lets users mount nothing (unshare --user --mount)")
    done = subprocess.run(
        [*namespace, sys.executable, "-m", "tests.faults.full_disk", str(project)],
        cwd=ROOT,
        env=child_environment(project),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    for step, path in (("prepare", "data/new/"), ("train", str(SCRATCH))):
        code, said, files = seen[step]
        assert code == 28, said
        assert said.count("SpaceError: ") == 1 and "Traceback" not in said, said
        assert path in said.splitlines()[-1] and "run again" in said.splitlines()[-1], said
        assert not [file for file in files if ".part" in file or "trained/" in file], files
    again, said, _ = seen["with room"]
    assert again == 0 and "continuing after update" in said
    assert seen["outputs"] == {
        name: content.hex() for name, content in outputs(undisturbed[0]).items()
    }
