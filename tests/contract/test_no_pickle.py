"""No pickle is loaded: what SECURITY.md says of files that could run code."""

from __future__ import annotations

import ast

import pytest

from recap.runtime.child import environment
from tests.contract.stage_deps import ROOT

FILES = sorted(
    path for top in ("recap", "flows", "experiments") for path in (ROOT / top).rglob("*.py")
)
UNPICKLERS = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
ALLOWED = {"torch.load": ("weights_only", True), "numpy.load": ("allow_pickle", False)}
"""Calls that unpickle unless an argument says no."""
REMOTE_CODE = "--trust-remote-code"
"""A server's option to run code that comes with a model."""


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
        elif isinstance(node, ast.Constant) and str(node.value).startswith(REMOTE_CODE):
            found.append(str(node.value))
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
        ("start('--trust-remote-code')", ["--trust-remote-code"]),
    ],
)
def test_a_fault_is_seen(source: str, expected: list[str]) -> None:
    assert faults(source) == expected


def test_children_may_not_unpickle_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", raising=False)
    assert environment()["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_prefect_keeps_no_result_and_would_write_json() -> None:
    """All flows and tasks take their decorator from one file, whose calls say both."""
    declared = ROOT / "flows/declared.py"
    calls = {
        node.func.id: {word.arg: ast.unparse(word.value) for word in node.keywords}
        for node in ast.walk(ast.parse(declared.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert 'SERIALIZER = "json"' in declared.read_text("utf-8")
    for name in ("flow", "task"):
        assert calls[name]["persist_result"] == "False"
        assert calls[name]["result_serializer"] == "SERIALIZER"
    others = [
        path.name
        for path in (ROOT / "flows").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "prefect" and path != declared
        for name in node.names
        if name.name in ("flow", "task")
    ]
    assert others == []


def test_no_code_unpickles() -> None:
    assert len(FILES) > 200
    found = {path.relative_to(ROOT).as_posix(): faults(path.read_text("utf-8")) for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}
