"""What a stage does without: packages that transformers would import for what no stage uses."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from recap.runtime.child import environment

ROOT = Path(__file__).parents[2]
TELLS = "def is_{0}_available(): return True\n"
ASKS = """
from recap.runtime.lean import import_less
import_less()
import importlib.metadata as m
from transformers.utils import import_utils as u
print(u.is_scipy_available(), u.is_sklearn_available(), u.is_torch_available(), u.__name__)
assert m.packages_distributions() is m.packages_distributions()
"""


def test_transformers_is_told_that_they_are_not_there(tmp_path: Path) -> None:
    package = tmp_path / "transformers"
    (package / "utils").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "utils/__init__.py").write_text("from .import_utils import is_scipy_available\n")
    told = "".join(TELLS.format(name) for name in ("scipy", "sklearn", "torch"))
    (package / "utils/import_utils.py").write_text(told)
    done = subprocess.run(
        [sys.executable, "-c", ASKS],
        env=environment(PYTHONPATH=f"{tmp_path}:{ROOT}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "False False True transformers.utils.import_utils\n"


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("utils/import_utils.py", "def is_scipy_available("),
        ("utils/import_utils.py", "def is_sklearn_available("),
        ("generation/candidate_generator.py", "if is_sklearn_available():\n    from sklearn"),
        ("loss/loss_for_object_detection.py", "if is_scipy_available():\n    from scipy"),
    ],
)
def test_transformers_asks_before_it_imports_them(file: str, line: str) -> None:
    """In the installed version; in another one that asks otherwise stages only start slower."""
    spec = importlib.util.find_spec("transformers")
    assert spec is not None and spec.origin is not None
    assert line in (Path(spec.origin).parent / file).read_text(encoding="utf-8")
