"""What `recap plan` refuses of the engine vllm, whose log-probabilities would be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recap.cli.preflight import absent
from recap.params.whole import read_params
from tests.parameters import write_params


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({}, []),
        ({"prefill.temperature": 0.6, "prefill.top_p": 0.95}, ["prefill"]),
        ({"prefill.temperature": 0.6}, []),
        ({"attack.decoding": {"math": {"temperature": 0.6, "top_p": 0.95}}}, ["attack"]),
    ],
)
def test_a_temperature_together_with_top_p(
    changes: dict[str, Any], keys: list[str], tmp_path: Path
) -> None:
    base = {"judge.second": None, "sampling.engine": "vllm"}
    params = read_params(write_params(tmp_path, base | changes))
    faults = list(absent(tmp_path, params))
    assert [key for key, _ in faults] == keys
    for _, fault in faults:
        assert fault == (
            "expected temperature 1 or top_p 1 with the engine vllm, got 0.6 and 0.95. Change one "
            "of them or set sampling.engine to torch"
        )
