"""Every package is imported for real; one that breaks, ends the process or hangs is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from recap.cli.imports import broken, installed

MODULES = {
    "sound": "",
    "loud": "print('words on standard output')\n",
    "missing_library": "raise ImportError('libcudnn.so.9: cannot open shared object file')\n",
    "dies": "import os\nos._exit(7)\n",
    "hangs": "import time\ntime.sleep(60)\n",
    "leaves": "raise SystemExit(3)\n",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, code in MODULES.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ([], []),
        (["sound", "loud"], []),
        (
            ["sound", "missing_library", "loud"],
            [("missing_library", "ImportError: libcudnn.so.9: cannot open shared object file")],
        ),
        (
            ["dies", "missing_library", "sound"],
            [
                ("dies", "the process that imports it ended: exit code 7"),
                ("missing_library", "ImportError: libcudnn.so.9: cannot open shared object file"),
            ],
        ),
        (["leaves", "sound"], [("leaves", "SystemExit: 3")]),
        (["nowhere"], [("nowhere", "ModuleNotFoundError: No module named 'nowhere'")]),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_does_not_import_is_named(modules: list[str], expected: list[tuple[str, str]]) -> None:
    assert [(one.module, one.error) for one in broken(modules)] == expected


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_an_import_that_hangs_is_ended_and_the_others_are_tried() -> None:
    found = list(broken(["hangs", "nowhere"], seconds=2))
    assert [one.module for one in found] == ["hangs", "nowhere"]
    assert found[0].error == "the process that imports it ended: not done after 2 s"


def test_only_what_is_installed_is_tried() -> None:
    assert installed({"pytest": "pytest", "no-such-distribution": "x"}) == ["pytest"]
