"""The section ``sweep`` of ``params.yaml``, typed.

It is not in recap/params, on which every stage depends, so that a new axis does not make a trained
policy stale. ``recap sweep`` checks it, and a contract test checks the files in the repository.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from recap.errors import ParameterError, choices
from recap.params.faults import faults
from recap.params.train import Train
from recap.params.values import Section
from recap.params.whole import Params

Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
Values = Annotated[tuple[Any, ...], Field(min_length=1)]


class Sweep(Section):
    """The settings to vary around one variant, and the design.

    ``axes``: values by the name of a setting of ``train``. ``brings``: for an axis and one of its
    values (as text), further settings that this value needs. ``clean``: axes whose values are also
    trained at alpha 0. ``variants``: further variants, by name. ``overlay``: values that replace
    those of the file in the sweep.
    """

    around: str
    design: Literal["one_at_a_time", "grid"]
    axes: dict[str, Values]
    brings: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)
    clean: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    seeds: Seeds
    dynamics: tuple[str, ...] = ()
    overlay: dict[str, dict[str, Any]] = Field(default_factory=dict)


def sweep_section(params: Params) -> Sweep:
    """The checked section; raises ParameterError with the wrong key."""
    if not params.sweep:
        raise ParameterError(
            "Expected a section `sweep` in params.yaml, found none. docs/sweeps.md has one to copy."
        )
    try:
        sweep = Sweep.model_validate(params.sweep)
    except ValidationError as error:
        lines = [f"  sweep.{key}: {said}" for key, said in faults(error, Sweep)]
        raise ParameterError(
            "params.yaml has a sweep that does not fit:\n" + "\n".join(lines)
        ) from None
    _check_names(sweep, params)
    return sweep


def _check_names(sweep: Sweep, params: Params) -> None:
    """Every name must be a variant, a setting or an axis."""
    for key, names in (
        ("around", (sweep.around,)),
        ("variants", sweep.variants),
    ):
        for name in names:
            if name not in params.variants:
                raise ParameterError(
                    f"Expected sweep.{key} to name a variant ({choices(params.variants)}), got "
                    f"'{name}'. Define it under `variants` or name another one."
                )
    for axis, values in sweep.axes.items():
        if axis not in Train.model_fields:
            raise ParameterError(
                f"Expected sweep.axes to name settings of `train` ({choices(Train.model_fields)}), "
                f"got '{axis}'."
            )
        texts = [value_text(value) for value in values]
        if len(set(texts)) < len(texts):
            raise ParameterError(
                f"Expected each value of sweep.axes.{axis} once, got {', '.join(texts)}."
            )
    for key, names in (("clean", sweep.clean), ("brings", tuple(sweep.brings))):
        for name in names:
            if name not in sweep.axes:
                raise ParameterError(
                    f"Expected sweep.{key} to name axes ({choices(sweep.axes)}), got '{name}'."
                )
    for axis, brought in sweep.brings.items():
        known = [value_text(value) for value in sweep.axes[axis]]
        for value in brought:
            if value not in known:
                raise ParameterError(
                    f"Expected sweep.brings.{axis} to name its values ({choices(known)}), got "
                    f"'{value}'."
                )


def value_text(value: Any) -> str:
    """A value of an axis as text, for tables and (after ``name_part``) for names."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return "-".join(value_text(one) for one in value)
    if isinstance(value, dict):
        return "-".join(f"{key}-{value_text(one)}" for key, one in value.items())
    return str(value)
