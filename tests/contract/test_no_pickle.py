"""No pickle is loaded: what SECURITY.md says of files that could run code."""

from __future__ import annotations

import ast

import pytest

from tests.contract.stage_deps import ROOT

FILES = sorted(
    path for top in ("recap", "flows", "experiments") for path in (ROOT / top).rglob("*.py")
)
UNPICKLERS = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
ALLOWED = {"torch.load": ("weights_only", True), "numpy.load": ("allow_pickle", False)}
"""Calls that unpickle unless an argument says no."""


def faults(source: str) -> list[str]:
    """What in the source may run the code of a file that it loads."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.split(".")[0] in UNPICKLERS]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNPICKLERS:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).replace("np.", "numpy.")
            said = [(word.arg, getattr(word.value, "value", None)) for word in node.keywords]
            if name in ALLOWED and ALLOWED[name] not in said:
                found.append(name)
            if name.rpartition(".")[2] == "read_pickle" or ("trust_remote_code", True) in said:
                found.append(name)
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import pickle", ["pickle"]),
        ("from joblib import load", ["joblib"]),
        ("torch.load(path)", ["torch.load"]),
        ("torch.load(path, weights_only=False)", ["torch.load"]),
        ("torch.load(path, weights_only=True)", []),
        ("np.load(path)", ["numpy.load"]),
        ("pd.read_pickle(path)", ["pd.read_pickle"]),
        ("load(path, trust_remote_code=True)", ["load"]),
        ("load(path, trust_remote_code=False)", []),
    ],
)
def test_a_fault_is_seen(source: str, expected: list[str]) -> None:
    assert faults(source) == expected


def test_no_code_unpickles() -> None:
    assert len(FILES) > 200
    found = {path.relative_to(ROOT).as_posix(): faults(path.read_text("utf-8")) for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}
