"""What `make install` decides: which packages, which program, which index; nothing is installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install_script", ROOT / "infra/install.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


install = load()
H100 = ["NVIDIA H100 80GB HBM3"]


@pytest.mark.parametrize(
    ("device", "system", "machine", "gpus", "packages", "reason"),
    [
        ("auto", "Linux", "x86_64", [], "constraints.txt",
         "no NVIDIA GPU; with the CPU build of vLLM on Linux x86_64"),
        ("auto", "Linux", "aarch64", [], "constraints.txt",
         "no NVIDIA GPU; without the CPU build of vLLM on Linux aarch64"),
        ("auto", "Darwin", "arm64", [], "constraints.txt",
         "no NVIDIA GPU; without the CPU build of vLLM on Darwin arm64"),
        ("auto", "Linux", "x86_64", H100, "constraints.gpu.txt", H100[0]),
        ("cpu", "Linux", "x86_64", H100, "constraints.txt",
         "DEVICE=cpu asks for it; with the CPU build of vLLM on Linux x86_64"),
        ("gpu", "Linux", "x86_64", [], "constraints.gpu.txt",
         "no NVIDIA GPU here, but DEVICE=gpu asks for it"),
    ],
)  # fmt: skip
def test_the_list_follows_from_the_machine(
    device: str, system: str, machine: str, gpus: list[str], packages: str, reason: str
) -> None:
    assert install.choose(device, system, machine, gpus) == install.Choice(packages, reason)


def test_cuda_builds_are_for_linux() -> None:
    with pytest.raises(install.InstallError, match=r"got Darwin\. Run make install DEVICE=cpu"):
        install.choose("gpu", "Darwin", "arm64", [])


def test_pips_settings_are_read_as_pip_reads_them() -> None:
    listed = (
        ":env:.find-links='/env/wheels'\n"
        "global.find-links='/file/wheels'\n"
        "global.index-url='https://mirror.example/simple'\n"
        "global.extra-index-url='file:///a\\nfile:///b'\n"
        "install.no-index='false'\n"
        "download.find-links='/not/for/install'\n"
    )
    assert install.pip_settings(listed) == {
        "find-links": "/env/wheels",
        "index-url": "https://mirror.example/simple",
        "extra-index-url": "file:///a\nfile:///b",
        "no-index": "false",
    }


@pytest.mark.parametrize(
    ("settings", "options", "variables"),
    [
        ({}, [], {}),
        ({"index-url": "https://mirror.example/simple"},
         ["--default-index", "https://mirror.example/simple"], {}),
        ({"extra-index-url": "file:///a\nfile:///b"},
         ["--index", "file:///a", "--index", "file:///b"], {}),
        ({"find-links": "/one /two"}, ["--find-links", "/one", "--find-links", "/two"], {}),
        ({"no-index": "true", "constraint": "c.txt"}, ["--no-index", "--constraints", "c.txt"], {}),
        ({"no-index": "0"}, [], {}),
        ({"cert": "/ca.crt", "default-timeout": "180", "quiet": "1"},
         [], {"SSL_CERT_FILE": "/ca.crt", "UV_HTTP_TIMEOUT": "180"}),
    ],
)  # fmt: skip
def test_uv_looks_where_pip_is_told_to(
    settings: dict[str, str], options: list[str], variables: dict[str, str]
) -> None:
    every = ["--index-strategy", "unsafe-best-match", *options]
    assert install.uv_options(settings) == (every, variables)


def test_what_uv_cannot_do_is_left_to_pip() -> None:
    said: list[str] = []
    assert install.take_installer({"only-binary": ":all:"}, said.append) is install.PIP
    assert said == [
        "using pip, which takes some minutes: uv does not support pip's setting only-binary"
    ]


def test_uv_knows_every_option_that_is_handed_to_it() -> None:
    """The names are uv's own: a release that drops one would be noticed by nobody else."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.is_file():
        pytest.skip("this environment was made without uv")
    known = subprocess.run([uv, "pip", "install", "--help"], capture_output=True, text=True).stdout
    for option in [*install.FLAGS.values(), "--no-index", "--index-strategy", "--torch-backend"]:
        tried = subprocess.run(
            [uv, "pip", "install", option, "", "--help"], capture_output=True, text=True
        )
        assert option in known or "unexpected argument" not in tried.stderr, option


@pytest.mark.parametrize(
    ("settings", "variables", "name"),
    [
        ({"index-url": "https://mirror.example/simple"}, {}, "uv"),
        ({"extra-index-url": "file:///a"}, {}, "uv"),
        ({"find-links": "/wheels"}, {}, "uv"),
        ({}, {"UV_INDEX_URL": "https://mirror.example/simple"}, "uv"),
        ({}, {}, "pip"),
    ],
)
def test_no_other_index_is_asked_beside_the_users_own(
    settings: dict[str, str],
    variables: dict[str, str],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    never = install.Installer(name, ["/no/such/program"])
    assert install.small_torch(never, settings, "torch==1") == []


@pytest.mark.parametrize(
    ("packages", "version", "said"),
    [
        ("constraints.txt", "2.13.0+cpu", "torch 2.13.0+cpu, a CPU build"),
        (
            "constraints.txt",
            "2.13.0",
            "torch 2.13.0, built for CUDA, with its companions: this index offers no CPU build",
        ),
        ("constraints.gpu.txt", "2.13.0", "torch 2.13.0, built for CUDA, with its companions"),
    ],
)
def test_what_torch_turned_out_to_be_is_said(
    packages: str, version: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install.platform, "system", lambda: "Linux")
    assert install.check_build(install.Choice(packages, ""), version) == said


def test_a_cpu_build_beside_a_gpu_is_refused() -> None:
    with pytest.raises(install.InstallError, match=r"built for CUDA, got 2\.13\.0\+cpu: pip prefe"):
        install.check_build(install.Choice("constraints.gpu.txt", ""), "2.13.0+cpu")


@pytest.mark.parametrize("name", ["plain", "with blanks in it", "é ü"])
def test_an_installed_clone_is_not_installed_again(name: str, tmp_path: Path) -> None:
    """Make cannot name a target whose path has a blank; a moved or copied clone installs anew."""
    clone = tmp_path / name
    (clone / ".venv").mkdir(parents=True)
    (clone / "infra").mkdir()
    for file in (
        "constraints.txt",
        "constraints.gpu.txt",
        "pyproject.toml",
        "Makefile",
        "infra/install.py",
    ):
        (clone / file).write_text((ROOT / file).read_text(encoding="utf-8"), encoding="utf-8")

    def stale() -> int:
        env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
        asked = ["make", "-q", "install"]
        return subprocess.run(asked, cwd=clone, env=env, check=False).returncode

    assert stale() == 1
    (clone / ".venv/installed").write_text(f"{clone.resolve()}\n", encoding="utf-8")
    assert stale() == 0
    (clone / ".venv/installed").write_text("/the/folder/it/was/copied/from\n", encoding="utf-8")
    assert stale() == 1
