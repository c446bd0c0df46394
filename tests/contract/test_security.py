"""docs/security.md is true: its files and tests exist, and servers stay on this machine."""

from __future__ import annotations

import ast
import re
from inspect import signature
from itertools import pairwise

import pytest

from recap.sampling.vllm_server import Launch
from recap.services.place import HOST
from tests.contract.stage_deps import ROOT
from tests.contract.test_no_pickle import FILES

ROW = re.compile(r"^\| (?!promise|---)(.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
HERE = ("'127.0.0.1'", "HOST")
ASKED_FOR = {"recap/cli/cells.py": ["host"], "recap/sampling/vllm_server.py": ["self.host"]}
"""vLLM servers for other machines listen where their owner says, and nowhere else by default."""
EVERYWHERE = {"0.0.0.0", "::", "--listen=0.0.0.0"}


def test_every_promise_has_its_files_and_its_tests() -> None:
    rows = ROW.findall((ROOT / "docs/security.md").read_text(encoding="utf-8"))
    assert len(rows) == 26
    for promise, protection, tests in rows:
        files = re.findall(r"`([^`]+)`", protection)
        named = re.findall(r"`(tests/[^`]+)::(test_\w+)`", tests)
        assert files and named, promise
        assert [file for file in files if not (ROOT / file).is_file()] == [], promise
        for file, name in named:
            assert re.search(rf"^def {name}\(", (ROOT / file).read_text("utf-8"), re.M), name


def elsewhere(source: str) -> list[str]:
    """Addresses other than this machine's that a server of the source is told."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.List | ast.Tuple):
            words = [ast.unparse(word) for word in node.elts]
            found += [
                host for word, host in pairwise(words) if word == "'--host'" and host not in HERE
            ]
        elif isinstance(node, ast.Constant) and node.value in EVERYWHERE:
            found.append(str(node.value))
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("run('-m', *('--host', '127.0.0.1'))", []),
        ("['server', '--host', HOST, '--port']", []),
        ("['server', '--host', name]", ["name"]),
        ("socket.bind(('0.0.0.0', 0))", ["0.0.0.0"]),
    ],
)
def test_another_address_is_seen(source: str, expected: list[str]) -> None:
    assert elsewhere(source) == expected


def test_no_server_is_told_to_listen_elsewhere() -> None:
    assert HOST == "127.0.0.1"
    assert signature(Launch).parameters["host"].default == HOST
    told = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in FILES}
    assert {name: elsewhere(text) for name, text in told.items() if elsewhere(text)} == ASKED_FOR
    assert sum("--host" in text for text in told.values()) >= 3
