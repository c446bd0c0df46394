"""Installs the environment of ``make install``: chooses the packages, fetches them, imports them.

Runs on the Python of the new environment, with the standard library alone, in the project's
folder. Only constraints.txt (with an NVIDIA GPU, constraints.gpu.txt) has versions. Leaves out the
environment itself, which the Makefile creates.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CPU, GPU = "constraints.txt", "constraints.gpu.txt"
DEVICES = ("auto", "cpu", "gpu")
SAME = {
    "disable-pip-version-check",
    "no-cache-dir",
    "no-color",
    "no-compile",
    "no-input",
    "no-warn-script-location",
    "prefer-binary",
    "progress-bar",
    "quiet",
    "require-virtualenv",
    "retries",
    "root-user-action",
    "verbose",
}
"""Settings of pip that change nothing about what is installed."""
FLAGS = {
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "constraint": "--constraints",
    "trusted-host": "--allow-insecure-host",
}
VARIABLES = {
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "proxy": "ALL_PROXY",
}
OWN_INDEX = ("index-url", "extra-index-url", "find-links", "no-index")
PROBE_SECONDS = 30.0


class InstallError(Exception):
    """An error message with the expected state, the actual state, and a command that fixes it."""


@dataclass(frozen=True)
class Choice:
    """The chosen list of packages, with the reason."""

    packages: str
    reason: str


@dataclass(frozen=True)
class Installer:
    """An installing program, with options that give it pip's index settings."""

    name: str
    command: list[str]
    variables: dict[str, str] = field(default_factory=dict)

    def install(self, *arguments: str) -> int:
        """Returns the exit code; the program itself prints its errors."""
        env = {**os.environ, **self.variables}
        return subprocess.run([*self.command, *arguments], env=env, check=False).returncode


PIP = Installer(
    "pip",
    [sys.executable, "-m", "pip", "install", "-qq", "--no-compile", "--disable-pip-version-check"],
)


def choose(device: str, system: str, machine: str, gpus: Sequence[str]) -> Choice:
    """The list of packages for a machine; ``gpus`` are the names that its driver reports."""
    vllm = "with" if (system, machine) == ("Linux", "x86_64") else "without"
    if device == "gpu" or (device == "auto" and gpus):
        if system != "Linux":
            raise InstallError(
                f"Expected Linux for the CUDA builds, got {system}. Run make install DEVICE=cpu."
            )
        return Choice(GPU, gpus[0] if gpus else "no NVIDIA GPU here, but DEVICE=gpu asks for it")
    why = "DEVICE=cpu asks for it" if device == "cpu" else "no NVIDIA GPU"
    return Choice(CPU, f"{why}; {vllm} the CPU build of vLLM on {system} {machine}")


def graphics_cards() -> list[str]:
    """Names of the NVIDIA GPUs that the driver reports; empty without a driver."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return told.stdout.split("\n")[:-1] if told.returncode == 0 else []


def pip_settings(listed: str) -> dict[str, str]:
    """The settings of ``pip config list`` for ``pip install``; the environment overrides files."""
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for name, value in re.findall(rf"^{section}\.([\w-]+)=(.*)$", listed, re.MULTILINE):
            found[name] = str(ast.literal_eval(value))
    return found


def uv_options(settings: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The same settings as options and variables of uv.

    Raises ValueError with the name of a setting that uv lacks.
    """
    options, variables = ["--index-strategy", "unsafe-best-match"], {}
    for name, value in settings.items():
        if name in FLAGS:
            options += [part for each in value.split() for part in (FLAGS[name], each)]
        elif name in VARIABLES:
            variables[VARIABLES[name]] = value
        elif name == "no-index":
            options += ["--no-index"] if value.lower() in {"1", "true", "yes", "on"} else []
        elif name not in SAME:
            raise ValueError(name)
    return options, variables


def pins(path: Path) -> dict[str, str]:
    """The versions in a list, by name."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", path.read_text("utf-8"), re.MULTILINE))


def take_installer(settings: Mapping[str, str], say: Callable[[str], None]) -> Installer:
    """Returns uv if it is available and supports every setting of pip, else pip."""
    try:
        options, variables = uv_options(settings)
    except ValueError as unknown:
        say(f"using pip, which takes some minutes: uv does not support pip's setting {unknown}")
        return PIP
    wanted = f"uv=={pins(Path(CPU))['uv']}"
    got = subprocess.run(
        [*PIP.command, "--no-deps", wanted], capture_output=True, text=True, check=False
    )
    if got.returncode != 0:
        say(f"using pip, which takes some minutes: {wanted} is not available from this index")
        return PIP
    uv = str(Path(sys.executable).with_name("uv"))
    fast = [uv, "pip", "install", "-q", "--python", sys.executable, *options]
    return Installer("uv", fast, variables)


def small_torch(installer: Installer, settings: Mapping[str, str], torch: str) -> list[str]:
    """Options to take torch from PyTorch's own index of CPU builds, if that index is usable.

    If the user has configured an index, only that index is used.
    """
    own = [name for name in OWN_INDEX if name in settings]
    own += [name for name in os.environ if name.startswith(("UV_INDEX", "UV_DEFAULT", "UV_TORCH"))]
    if installer.name != "uv" or platform.system() != "Linux" or own:
        return []
    command = [installer.command[0], "pip", "compile", "-q", "--no-deps", "--torch-backend", "cpu"]
    try:
        asked = subprocess.run(
            [*command, "--python", sys.executable, "-"],
            input=torch,
            text=True,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
            env={**os.environ, **installer.variables},
        )
    except subprocess.TimeoutExpired:
        return []
    return ["--torch-backend", "cpu"] if asked.returncode == 0 else []


def install(choice: Choice, settings: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Put the packages of the list, torch's companions and the project into the environment."""
    installer = take_installer(settings, say)
    torch = f"torch=={pins(Path(choice.packages))['torch']}"
    small = small_torch(installer, settings, torch) if choice.packages == CPU else []
    if small:
        say("torch comes from PyTorch's index of CPU builds")
    steps = [
        ["--no-deps", *small, "-r", choice.packages],
        # Installs nothing for a CPU build. A CUDA build cannot be imported without its companions.
        [*small, "-c", GPU, torch],
        ["--no-deps", "--no-build-isolation", "-e", "."],
    ]
    for step in steps:
        if installer.install(*step) == 0:
            continue
        if installer is not PIP:
            say("uv failed (see its message above); continuing with pip, which takes longer")
            installer = PIP
            if installer.install(*(word for word in step if word not in small)) == 0:
                continue
        raise InstallError(
            f"Expected {choice.packages} from the package index, got the error above. Check the "
            "index that `pip config list` names and the space on the disk, then make install again."
        )


def check_build(choice: Choice, version: str) -> str:
    """A description of the installed torch; raises InstallError for a CPU build with a GPU list."""
    cpu = version.endswith("+cpu")
    if choice.packages == GPU and cpu:
        raise InstallError(
            f"Expected a torch built for CUDA, got {version}: pip prefers a CPU build that a file "
            "or an index of its settings offers. Take it out of find-links or extra-index-url "
            "(`pip config list`) and make install again, or run make install DEVICE=cpu."
        )
    if platform.system() != "Linux":
        return f"torch {version}"
    if cpu:
        return f"torch {version}, a CPU build"
    companions = "" if choice.packages == GPU else ": this index offers no CPU build"
    return f"torch {version}, built for CUDA, with its companions{companions}"


def main() -> None:
    """Install, check the imports, and print the choices with their reasons."""
    parser = argparse.ArgumentParser(description="The environment of `make install`.")
    parser.add_argument("--device", choices=DEVICES, default="auto")
    device = parser.parse_args().device

    def say(sentence: str) -> None:
        print(f"install: {sentence}", flush=True)

    pip = [sys.executable, "-m", "pip", "config", "list"]
    settings = pip_settings(subprocess.run(pip, capture_output=True, text=True).stdout)
    try:
        choice = choose(device, platform.system(), platform.machine(), graphics_cards())
        python = platform.python_version()
        say(f"Python {python}, {choice.packages} ({choice.reason})")
        install(choice, settings, say)
        importlib.invalidate_caches()
        say(check_build(choice, importlib.metadata.version("torch")))
    except InstallError as error:
        sys.exit(f"install: {error}")
    say("checking that everything imports ...")
    sys.exit(subprocess.run([sys.executable, "-m", "recap.cli.imports"], check=False).returncode)


if __name__ == "__main__":
    main()
