"""The work of every stage process before and after its own task.

A stage uses one thread, no telemetry and no network look-ups. It dies with its parent, because an
orphan would keep writing outputs that the next run deletes. It closes folders with harmful text to
other users. It turns the user's errors into one
message and an exit code. It fails if its code or parameters were edited meanwhile, because DVC
records their state at the end of a stage. Leaves out locks: DVC's locks prevent two runs of one
stage, and writes to its inputs.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import typer

from recap.errors import DataError, RecapError, SpaceError
from recap.params.document import read_document
from recap.rows import FULL
from recap.runtime.child import ENVIRONMENT, die_with_dvc, die_with_parent
from recap.runtime.lean import import_less
from recap.runtime.private import keep_private

PARAMS = Path("params.yaml")


def run_stage(main: Callable[..., None]) -> None:
    """Run a stage's ``main`` as a command: typed arguments, one message per error, exit code.

    Exit codes: those of recap/errors.py for the user's errors, including a full disk anywhere; 1
    with a traceback for bugs.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    die_with_parent()
    die_with_dvc()
    import_less()
    if "DVC_STAGE" in os.environ and PARAMS.is_file():
        keep_private(Path())
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(_of_one_version(main))
    try:
        app()
    except RecapError as error:
        _leave(error)
    except OSError as error:
        if error.errno not in FULL:
            raise
        _leave(SpaceError(f"The disk is full: {error}. Free some space and run again."))


def _leave(error: RecapError) -> NoReturn:
    print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(error.exit_code)


def _of_one_version(main: Callable[..., None]) -> Callable[..., None]:
    """Wraps ``main`` so that it raises DataError if the stage's code or parameters changed."""
    address = os.environ.get("DVC_STAGE")
    if address is None:
        return main
    before = read_declared(address)

    @functools.wraps(main)
    def watched(*arguments: Any, **options: Any) -> None:
        main(*arguments, **options)
        after = read_declared(address)
        changed = sorted(k for k in {*before, *after} if before.get(k) != after.get(k))
        if changed:
            more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
            raise DataError(
                f"Expected code and parameters to stay as they were while {address} ran, but "
                f"{', '.join(changed[:4])}{more} changed. The result is discarded, because it "
                "would be recorded as a result of the new version. Run again, and edit between "
                "runs or in a second clone."
            )

    return watched


def read_declared(address: str) -> dict[str, str]:
    """The code and the parameters that dvc.yaml declares for a stage, as digests by name.

    ``address`` is DVC's, e.g. ``train@recap-0``. Leaves out the outputs of other stages.
    """
    file, _, name = address.rpartition(":")
    stage, _, member = name.partition("@")
    inside = file and not file.startswith("..")  # DVC's paths are relative to the user's folder
    own = read_document(Path(file if inside else "dvc.yaml"))["stages"].get(stage, {})
    found = {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for dep in own.get("deps", [])
        for path in _code(Path(dep))
    }
    document = read_document(PARAMS) if own.get("params") else {}
    for key in own.get("params", []):
        for expanded in _expanded(key, document, member):
            value: Any = document
            for part in expanded.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            found[expanded] = hashlib.sha256(repr(value).encode()).hexdigest()
    return found


def _code(dep: Path) -> Iterator[Path]:
    """The files of a code dependency; in a folder, without files of Python and editors.

    Every file in a package is code, including templates. So is what is below ``origins``, which
    no stage makes.
    """
    if dep.suffix == ".py" or (dep.is_file() and any(map(_package, dep.parents))):
        yield dep
    elif _package(dep) or dep.parts[:1] == ("origins",):
        for path in sorted(dep.rglob("*")):
            hidden = any(part.startswith(".") for part in path.parts)
            if path.is_file() and not hidden and "__pycache__" not in path.parts:
                yield path


def _package(folder: Path) -> bool:
    return (folder / "__init__.py").is_file()


def _expanded(key: str, document: Any, member: str) -> Iterator[str]:
    """``variants.${item.variant}`` as the keys of ``variants`` that the matrix member names."""
    section, placeholder, _ = key.partition(".${")
    if not placeholder:
        yield key
        return
    for name in document[section]:
        if re.search(rf"(^|-){re.escape(name)}(-|$)", member):
            yield f"{section}.{name}"
