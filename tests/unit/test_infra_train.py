"""What infra/ has for training on several nodes: run with stubs, and read.

1. The SLURM script prepares on one node, starts each training on all nodes, and ends on one.
   Where rollouts come from servers elsewhere, the last node runs them while the others train.
2. Two machines' processes find each other, add up, and train (torchrun over loopback).
3. The Kubernetes files name the profile's own numbers of nodes and GPUs.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
import yaml

from recap.cli.cells import launch_line, serving_lines
from recap.cli.profile import profile_values
from recap.errors import ParameterError
from tests.integration.flow_project import ROOT
from tests.parameters import write_params

SCRIPT = ROOT / "infra/slurm/train.slurm"
CELL = ROOT / "infra/train-cell.sh"
STUBS = {
    "srun": 'echo "srun $*${RECAP_SERVERS:+ asking $RECAP_SERVERS with $RECAP_SERVERS_KEY}"',
    "recap": 'echo "recap $*"; mkdir -p .recap/cluster-8b',
    "dvc": 'echo "dvc $* in ${PWD##*/}"',
    "scontrol": '[ "$*" = "show hostnames n[1-4]" ] && printf "n1\\nn2\\nn3\\nn4\\n"',
    "python": 'case "$*" in *secrets*) echo word;; *cells) echo "train@dapo-0 train@recap-0";;'
    ' *n4) [ -z "$NODES" ] || printf "http://n4:8000\\n%s\\n" "--host n4 \'a b\'";;'
    ' *) echo "${NODES:-4} 8 -m recap.stages.train --variant recap";; esac',
}


def call_script(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    place = folder / ".venv/bin"
    place.mkdir(parents=True, exist_ok=True)
    for name, code in STUBS.items():
        (place / name).write_text(f"#!/bin/bash\n{code}\n")
        (place / name).chmod(0o755)
    settings = {
        "PATH": "/usr/bin:/bin",
        "RECAP_CLONE": str(folder),
        "RECAP_PROFILE": "cluster-8b",
        "SLURM_JOB_NODELIST": "n[1-4]",
        "SLURM_NNODES": "4",
    } | variables
    named = {name: value for name, value in settings.items() if value}
    return subprocess.run(
        ["bash", str(SCRIPT)], env=named, capture_output=True, text=True, check=False
    )


def test_slurm_prepares_trains_each_cell_on_all_nodes_and_ends_on_one(tmp_path: Path) -> None:
    done = call_script(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    cell = f"{tmp_path}/infra/train-cell.sh"
    assert done.stdout.splitlines() == [
        "recap plan --profile cluster-8b",
        "srun --nodes=1 --ntasks=1 dvc repro models@policy models@guardian validate@prefills",
        f"srun --nodes=4 --ntasks-per-node=1 --relative=0 {cell} train@dapo-0 n1",
        "dvc commit -f train@dapo-0 in cluster-8b",
        f"srun --nodes=4 --ntasks-per-node=1 --relative=0 {cell} train@recap-0 n1",
        "dvc commit -f train@recap-0 in cluster-8b",
        "srun --nodes=1 --ntasks=1 recap run --profile cluster-8b --workers 1",
    ]


def test_slurm_serves_rollouts_on_the_last_node_while_the_others_train(tmp_path: Path) -> None:
    done = call_script(tmp_path, NODES="3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    asking = "asking http://n4:8000 with word"
    serve = "srun --nodes=1 --ntasks=1 --relative=3 python -m recap.sampling.serve --host n4 a b"
    cell = f"srun --nodes=3 --ntasks-per-node=1 --relative=0 {tmp_path}/infra/train-cell.sh"
    # side by side, so in either order
    assert set(lines[2:4]) == {f"{serve} {asking}", f"{cell} train@dapo-0 n1 {asking}"}
    assert lines[4] == "dvc commit -f train@dapo-0 in cluster-8b"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"NODES": "4"}, "Expected a job of 5 nodes for train@dapo-0 (train.launch.nodes, and one"),
        (
            {"SLURM_NNODES": "2"},
            "Expected a job of 4 nodes for train@dapo-0 (train.launch.nodes,",
        ),
        ({"RECAP_PROFILE": ""}, "Expected RECAP_PROFILE in the job's environment, got nothing."),
        ({"RECAP_CLONE": ""}, "Expected RECAP_CLONE in the job's environment, got nothing."),
    ],
)
def test_slurm_says_what_does_not_fit(changes: dict[str, str], said: str, tmp_path: Path) -> None:
    done = call_script(tmp_path, **changes)
    assert done.returncode == 2
    assert done.stderr.startswith(said)


@pytest.mark.parametrize("script", [SCRIPT, CELL], ids=lambda path: path.name)
def test_the_scripts_parse(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose training is a script that writes down who it is."""
    write_params(tmp_path, {"train.launch": {"processes": 1, "nodes": 2, "shard": "none"}})
    stage = {
        "matrix": {"variant": "${matrix.variants}", "seed": "${matrix.seeds}"},
        "cmd": "python train.py --variant ${item.variant} --seed ${item.seed} --out 'a b'",
    }
    graph = yaml.safe_dump({"stages": {"train": stage}}, sort_keys=False)
    (tmp_path / "dvc.yaml").write_text(graph)
    (tmp_path / "train.py").write_text(
        "import os, sys; names = ('RANK', 'WORLD_SIZE', 'TORCHELASTIC_RUN_ID')\n"
        "said = ' '.join(os.environ[name] for name in names)\n"
        "open(f\"rank-{os.environ['RANK']}\", 'w').write(f'{said} {sys.argv[1:]}')\n"
    )
    return tmp_path


def test_a_training_is_found_with_its_nodes_and_its_command(project: Path) -> None:
    line = launch_line(project, "train@recap-0")
    assert line == "2 1 train.py --variant recap --seed 0 --out 'a b'"
    for other in ("train@base-0", "train@recap-7", "attack@recap-0"):
        with pytest.raises(ParameterError, match=f"train@dapo-0 or train@recap-0, got '{other}'"):
            launch_line(project, other)


def test_a_host_serves_a_training_whose_servers_are_elsewhere(tmp_path: Path) -> None:
    changes = {
        "train.launch": {"processes": 1, "nodes": 2, "shard": "none"},
        "train.engine": "server",
        "train.servers": {"count": 2, "tensor_parallel": 4, "elsewhere": True},
    }
    write_params(tmp_path, changes)
    copy(ROOT / "dvc.yaml", tmp_path / "dvc.yaml")
    assert serving_lines(tmp_path, "train@recap-0", "node3") == (
        "http://node3:8000,http://node3:8001\n"
        "models/policy --host node3 --port 8000 --count 2 --tensor-parallel 4"
    )
    write_params(tmp_path, changes | {"train.engine": "torch"})
    assert serving_lines(tmp_path, "train@recap-0", "node3") == ""


@pytest.mark.slow
def test_two_machines_find_each_other_add_up_and_train(project: Path) -> None:
    """Two launchers on this machine stand for two machines."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "RECAP_PORT": port}
    machines = [
        subprocess.Popen(
            [str(CELL), "train@recap-0", "127.0.0.1"],
            cwd=project,
            env=env,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [machine.communicate(timeout=300)[1] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert "".join(said).count("all-reduce: 2 processes add up") == 1
    arguments = "['--variant', 'recap', '--seed', '0', '--out', 'a b']"
    for rank in (0, 1):
        assert (project / f"rank-{rank}").read_text() == f"{rank} 2 train@recap-0 {arguments}"


def test_a_cell_needs_a_training_and_a_host(tmp_path: Path) -> None:
    done = subprocess.run([str(CELL), "x"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Expected a training and a host, e.g. train-cell.sh train@")


def documents() -> tuple[dict[str, Any], dict[str, Any]]:
    train, stages = (
        yaml.safe_load((ROOT / f"infra/k8s/{name}.yaml").read_text("utf-8"))
        for name in ("train", "stages")
    )
    return train, stages


def test_kubernetes_starts_the_profiles_machines_in_one_set() -> None:
    train, _ = documents()
    assert (train["apiVersion"], train["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    node, serving = train["spec"]["replicatedJobs"]
    job = node["template"]["spec"]
    settings = profile_values(ROOT, "cluster-8b")["train"]
    launch, servers = settings["launch"], settings["servers"]
    assert job["parallelism"] == job["completions"] == launch["nodes"] == 4
    assert (job["completionMode"], job["backoffLimit"], node["replicas"]) == ("Indexed", 0, 1)
    assert train["spec"]["network"] == {"enableDNSHostnames": True}
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": str(launch["processes"])}
    name = train["metadata"]["name"]
    # JobSet's name of the first pod: set, job, its number, the pod's, and the set's service
    first = f"{name}-{node['name']}-0-0.{name}"
    assert container["args"] == ["train@recap-0", first]
    assert container["command"] == ["/shared/recap/infra/train-cell.sh"]
    assert (ROOT / "infra/train-cell.sh").stat().st_mode & 0o111
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    env = {each["name"]: each.get("value") for each in container["env"]}
    (server,) = serving["template"]["spec"]["template"]["spec"]["containers"]
    host = f"{name}-{serving['name']}-0-0.{name}"
    urls = [f"http://{host}:{8000 + number}" for number in range(servers["count"])]
    assert env["RECAP_SERVERS"].split(",") == urls
    assert server["command"] == ["python", "-m", "recap.sampling.serve"]
    assert server["args"] == ["models/policy", "--host", host, "--count", "8"]
    assert server["resources"]["limits"] == {"nvidia.com/gpu": "8"}
    assert train["spec"]["successPolicy"]["targetReplicatedJobs"] == [node["name"]]
    keys = [each for each in (*container["env"], *server["env"]) if "KEY" in each["name"]]
    assert keys == [keys[0]] * 2 and "secretKeyRef" in keys[0]["valueFrom"]
    assert env["PYTHONPATH"] == container["workingDir"] == "/shared/recap/.recap/cluster-8b"


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        (
            "before",
            [
                "recap plan --profile cluster-8b",
                "dvc repro models@policy models@guardian validate@prefills in cluster-8b",
            ],
        ),
        (
            "after",
            [
                "dvc commit -f train@recap-0 in cluster-8b",
                "recap run --profile cluster-8b --workers 1",
            ],
        ),
    ],
)
def test_kubernetes_runs_the_stages_beside_training(
    argument: str, said: list[str], tmp_path: Path
) -> None:
    """Its command, as the container would run it, with stubs."""
    _, stages = documents()
    (container,) = stages["spec"]["template"]["spec"]["containers"]
    assert container["args"][1] == "before"
    call_script(tmp_path)  # writes the stubs
    env = {each["name"]: each["value"] for each in container["env"]}
    env["PATH"] = f"{tmp_path}/.venv/bin:/usr/bin:/bin"
    done = subprocess.run(
        [*container["command"], container["args"][0], argument],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == said
