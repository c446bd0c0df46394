"""Which cells a sweep has, what they are called, and what cannot be one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.errors import ParameterError
from recap.params.whole import read_params
from recap.sweeps.design import Cell, Design, cells_by_variant, effective, sweep_design
from tests.unit.sweep_ledger import ROOT, params


def design(**changes: Any) -> Design:
    return sweep_design(params(**changes))


def test_the_projects_own_sweep() -> None:
    """Tables 12, 7 and 8, with reward and optimizer without prefills as well."""
    found = sweep_design(read_params(ROOT / "params.yaml"))
    assert found.axes["alpha"] == {
        "0": "dapo",
        "0.25": "alpha_25",
        "0.5": "recap",
        "0.75": "alpha_75",
        "1": "alpha_100",
    }
    assert found.axes["prefill_length"] == {
        "16": "prefill_length_16",
        "48": "prefill_length_48",
        "80": "recap",
        "112": "prefill_length_112",
    }
    assert found.axes["prefill_source"] == {
        "counter": "recap",
        "none": "dapo",
        "aligned": "aligned",
        "self": "self",
    }
    assert found.clean == {
        "safety_reward": {"prob": "dapo", "logit": "logit_clean", "binary": "binary_clean"},
        "optimizer": {"dapo": "dapo", "grpo": "grpo_clean", "dr_grpo": "dr_grpo_clean"},
    }
    assert found.axes["curriculum"] == {"none": "recap", "adaptive": "curriculum"}
    assert list(found.axes["safety_reward"]) == ["prob", "logit", "binary"]
    assert list(found.axes["optimizer"]) == ["dapo", "grpo", "dr_grpo"]
    assert list(found.axes["subset"]) == ["all", "alignment", "math"]
    assert len(found.axes) == 7
    assert found.named == ("base", "recap_range")
    assert (len(found.variants), len(found.cells())) == (23, 69)
    assert found.left_out == ()


def test_cells_are_the_centre_first_and_a_whole_seed_before_the_next() -> None:
    cells = design().cells()
    assert cells == [Cell("recap", 0), Cell("dapo", 0), Cell("recap", 1), Cell("dapo", 1)]
    assert [cell.name for cell in cells] == ["recap-0", "dapo-0", "recap-1", "dapo-1"]
    assert cells_by_variant(cells) == {"recap": [0, 1], "dapo": [0, 1]}


def test_some_axes_and_seeds() -> None:
    wide = design(
        axes={"alpha": [0.0, 0.5], "optimizer": ["dapo", "grpo"], "prefill_length": [16, 80]},
        clean=["optimizer"],
        variants=["base"],
        seeds=[0, 3],
    )
    names = [cell.name for cell in wide.cells(["optimizer"], [3])]
    assert names == ["recap-3", "dapo-3", "grpo-3", "grpo_clean-3"]
    with pytest.raises(ParameterError, match=r"Expected an axis among alpha, .*, got 'tau'"):
        wide.cells(["tau"])
    with pytest.raises(ParameterError, match=r"sweep\.seeds \(0 or 3\), got 1\. Add it there"):
        wide.cells(seeds=[1])


def test_a_value_bears_the_name_of_an_equal_variant_and_else_its_own() -> None:
    found = design(axes={"alpha": [0.5, 0.25, 0.3], "epsilon_high": [0.28, 0.3]})
    assert found.axes == {
        "alpha": {"0.5": "recap", "0.25": "alpha_25", "0.3": "alpha_0p3"},
        "epsilon_high": {"0.28": "recap", "0.3": "epsilon_high_0p3"},
    }
    assert found.variants["alpha_0p3"] == {"alpha": 0.3}
    assert found.variants["epsilon_high_0p3"] == {"epsilon_high": 0.3}


def test_two_ways_to_one_setting_are_one_cell() -> None:
    """No prefills at all: alpha 0, the source none, or math alone; lengths mean nothing there."""
    found = design(
        axes={"alpha": [0.0, 0.5], "prefill_source": ["counter", "none"], "subset": ["all", "math"]}
    )
    assert found.axes["prefill_source"]["none"] == found.axes["alpha"]["0"] == "dapo"
    assert found.axes["subset"]["math"] == "math"  # trained on other prompts than dapo
    assert [cell.name for cell in found.cells(seeds=[0])] == ["recap-0", "dapo-0", "math-0"]


def test_a_cell_without_prefills_is_one_whatever_the_centre_is() -> None:
    """`dapo` says nothing of the length that the centre has in place of the default."""
    document = params(around="length_20", axes={"alpha": [0.0, 0.5], "subset": ["all", "math"]})
    found = sweep_design(document)
    assert found.axes == {
        "alpha": {"0": "dapo", "0.5": "length_20"},
        "subset": {"all": "length_20", "math": "math"},
    }


def test_a_cell_has_one_definition_in_whatever_order_values_stand() -> None:
    """Math alone is never prefilled: its alpha is 0, whichever it was combined with."""
    for alphas in ([0.0, 0.25], [0.25, 0.0]):
        found = design(
            design="grid",
            axes={
                "alpha": alphas,
                "optimizer": ["grpo"],
                "subset": ["math"],
                "prefill_length": [16, 80],
            },
        )
        (name,) = (name for name in found.variants if "optimizer" in name)
        assert found.variants[name] == {"alpha": 0.0, "optimizer": "grpo", "subset": "math"}


def test_a_named_variant_that_equals_a_value_is_that_cell() -> None:
    found = design(variants=["dapo", "base"])
    assert found.named == ("base",)
    assert [cell.name for cell in found.cells(seeds=[0])] == ["recap-0", "dapo-0", "base-0"]


def test_a_variant_under_the_name_of_another_value_is_refused() -> None:
    document = params(axes={"alpha": [0.3, 0.5]})
    clash = document.model_copy(
        update={"variants": {**document.variants, "alpha_0p3": {"alpha": 0.1}}}
    )
    with pytest.raises(ParameterError, match=r"variant 'alpha_0p3' in params\.yaml to be what"):
        sweep_design(clash)


def test_a_value_that_cannot_be_trained_is_refused_by_name() -> None:
    with pytest.raises(ParameterError, match=r"sweep\.axes: curriculum_adaptive: .*bernoulli"):
        design(axes={"curriculum": ["none", "adaptive"]})
    with pytest.raises(ParameterError, match=r"sweep\.axes: alpha: .*equal to 1, got 1\.5\. Corr"):
        design(axes={"alpha": [0.5, 1.5]})


def test_what_a_value_brings_comes_with_it() -> None:
    brought = {"alpha_mode": "bernoulli", "prefill_length": [20, 80]}
    asked = params(
        axes={"curriculum": ["none", "adaptive"]}, brings={"curriculum": {"adaptive": brought}}
    )
    found = sweep_design(asked)
    assert found.axes == {"curriculum": {"none": "recap", "adaptive": "curriculum"}}
    assert effective(asked, found)["curriculum"].alpha_mode == "bernoulli"


def test_dynamics_of_a_variant_that_is_no_part_are_refused() -> None:
    with pytest.raises(
        ParameterError, match=r"sweep\.dynamics .* \(dapo or recap\), got 'aligned'"
    ):
        design(dynamics=["aligned"])


def test_a_grid_has_every_combination_once() -> None:
    found = design(design="grid", axes={"alpha": [0.0, 0.5], "prefill_length": [16, 80]})
    # alpha 0 has no length: three cells, not four
    assert list(found.variants) == ["recap", "dapo", "prefill_length_16"]
    assert found.axes == {
        "alpha": {"0.5": "recap", "0": "dapo"},
        "prefill_length": {"80": "recap", "16": "prefill_length_16"},
    }
    three = design(design="grid", axes={"alpha": [0.5, 0.75], "prefill_length": [16, 80]})
    assert list(three.variants) == [
        "recap",
        "prefill_length_16",
        "alpha_75",
        "alpha_0p75__prefill_length_16",
    ]
    assert three.named == ("alpha_0p75__prefill_length_16",)


def test_a_grid_leaves_out_what_cannot_be_trained_and_says_so() -> None:
    found = design(
        design="grid",
        axes={"alpha_mode": ["exact", "bernoulli"], "curriculum": ["none", "adaptive"]},
        brings={"curriculum": {"adaptive": {"prefill_length": [20, 80]}}},
    )
    assert [left.name for left in found.left_out] == ["curriculum_adaptive"]
    assert "bernoulli" in found.left_out[0].reason
    assert "alpha_mode_bernoulli__curriculum_adaptive" not in found.variants  # it has a name:
    assert "curriculum" in found.variants


VALUES = {
    "alpha": [0.0, 0.25, 0.5, 0.75, 1.0],
    "prefill_length": [16, 48, 80, 112],
    "prefill_source": ["counter", "none", "aligned", "self"],
    "optimizer": ["dapo", "grpo", "dr_grpo"],
    "subset": ["all", "alignment", "math"],
}


@given(data=st.data(), kind=st.sampled_from(["one_at_a_time", "grid"]))
def test_no_two_variants_train_alike_and_order_changes_none(data: st.DataObject, kind: str) -> None:
    names = data.draw(
        st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3, unique=True)
    )
    axes = {
        name: data.draw(st.lists(st.sampled_from(VALUES[name]), min_size=1, unique=True))
        for name in names
    }
    asked = params(axes=axes, design=kind)
    found = sweep_design(asked)
    trained = [each.model_dump_json() for each in effective(asked, found).values()]
    assert len(set(trained)) == len(trained)
    turned = sweep_design(
        params(axes={name: axes[name][::-1] for name in reversed(names)}, design=kind)
    )
    assert _definitions(turned) == _definitions(found)


def _definitions(found: Design) -> set[str]:
    return {json.dumps(definition, sort_keys=True) for definition in found.variants.values()}
