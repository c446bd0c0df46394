"""The section ``sweep``: what is refused, in which words, and how values are written."""

from __future__ import annotations

from typing import Any

import pytest

from recap.errors import ParameterError
from recap.params.whole import Params
from recap.sweeps.section import sweep_section, value_text
from tests.unit.sweep_ledger import params, values


def test_a_project_without_a_sweep_is_told_where_one_is_described() -> None:
    document = values()
    del document["sweep"]
    with pytest.raises(ParameterError, match=r"Expected a section `sweep` .* docs/sweeps\.md"):
        sweep_section(Params.model_validate(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"around": "nobody"}, r"Expected sweep\.around to name a variant \(.*\), got 'nobody'"),
        ({"variants": ["x"]}, r"Expected sweep\.variants to name a variant \(.*\), got 'x'"),
        ({"axes": {"alfa": [0.5]}}, r"sweep\.axes to name settings of `train` .*, got 'alfa'"),
        ({"axes": {"alpha": [0.5, 0.25, 0.5]}}, r"each value of sweep\.axes\.alpha once, got 0\.5"),
        ({"axes": {"alpha": [1, 1.0]}}, r"each value of sweep\.axes\.alpha once, got 1, 1\."),
        ({"axes": {"alpha": []}}, r"sweep\.axes\.alpha: Tuple should have at least 1 item"),
        ({"design": "random"}, r"sweep\.design: .*'one_at_a_time' or 'grid', got 'random'"),
        ({"seeds": []}, r"sweep\.seeds: Tuple should have at least 1 item"),
        ({"seeds": [-1]}, r"sweep\.seeds\.0: .*greater than or equal to 0, got -1"),
        ({"clean": ["optimizer"]}, r"Expected sweep\.clean to name axes \(alpha\), got"),
        ({"brings": {"optimizer": {}}}, r"Expected sweep\.brings to name axes \(alpha\), got"),
        ({"brings": {"alpha": {"0.3": {}}}}, r"brings\.alpha to name its values .*, got '0\.3'"),
        ({"workers": 4}, r"sweep\.workers: there is no such parameter\. Remove it"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        sweep_section(params(**change))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25, "0.25"),
        (1.0, "1"),
        (80, "80"),
        ("dapo", "dapo"),
        (True, "true"),
        (None, "none"),
        ([20, 80], "20-80"),
        ({"harmful": 0.5, "benign": 0.25}, "harmful-0.5-benign-0.25"),
    ],
)
def test_a_value_as_text(value: Any, text: str) -> None:
    assert value_text(value) == text
