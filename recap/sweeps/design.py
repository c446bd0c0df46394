"""The cells of a sweep: variants made from axes and values, times training seeds.

Identical settings share one cell. For a cell that never prefills, length and source do not count. A
cell has the name of the equal variant in ``variants``, or else a name made from axis and value.
Leaves out a cell's dependencies (fingerprint.py) and its state.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import ValidationError

from recap.errors import ParameterError, choices
from recap.params.faults import faults
from recap.params.train import Train
from recap.params.whole import Params
from recap.sweeps.section import Sweep, sweep_section, value_text

PREFILLING = (
    "alpha_mode",
    "prefill_source",
    "prefill_length",
    "prefill_unit",
    "self_prefill_updates",
    "self_prefill_prompts",
    "turn_reward",
)
"""Settings without an effect if no prompt is prefilled."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One variant trained with one seed."""

    variant: str
    seed: int

    @property
    def name(self) -> str:
        """The name of its files and stages."""
        return f"{self.variant}-{self.seed}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A combination that cannot be trained, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Design:
    """``variants``: definitions by name, as in `variants` of params.yaml, the centre first.

    ``axes``: for each axis the variant of each value. ``clean``: the twins at alpha 0, for values
    that are also trained without prefills. ``named``: variants that are on no axis.
    """

    around: str
    variants: Mapping[str, Mapping[str, Any]]
    axes: Mapping[str, Mapping[str, str]]
    clean: Mapping[str, Mapping[str, str]]
    named: tuple[str, ...]
    seeds: tuple[int, ...]
    dynamics: tuple[str, ...]
    left_out: tuple[LeftOut, ...]

    def cells(self, axes: Iterable[str] = (), seeds: Iterable[int] = ()) -> list[Cell]:
        """All cells, or those of some axes and seeds, seed by seed.

        Raises ParameterError for an unknown axis or seed.
        """
        chosen, wanted = list(axes), list(seeds) or list(self.seeds)
        for axis in chosen:
            if axis not in self.axes:
                raise ParameterError(f"Expected an axis among {choices(self.axes)}, got '{axis}'.")
        for seed in wanted:
            if seed not in self.seeds:
                raise ParameterError(
                    f"Expected a seed among sweep.seeds ({choices(map(str, self.seeds))}), got "
                    f"{seed}. Add it there: the tables iterate that list."
                )
        names = set(self.variants)
        if chosen:
            names = {self.around}
            for axis in chosen:
                names |= {*self.axes[axis].values(), *self.clean.get(axis, {}).values()}
        variants = [name for name in self.variants if name in names]
        return [
            Cell(variant, seed) for seed in self.seeds if seed in wanted for variant in variants
        ]


def sweep_design(params: Params) -> Design:
    """The sweep that params.yaml asks for.

    Raises ParameterError for an unknown name, and for a single value that cannot be trained. In a
    grid, combinations that cannot be trained are left out and listed.
    """
    return _Builder(params, sweep_section(params)).build()


class _Builder:
    def __init__(self, params: Params, sweep: Sweep) -> None:
        self._params, self._sweep = params, sweep
        self._reference = params.for_variant(sweep.around)
        self._default = params.train.model_dump(mode="json")
        self._base = dict(params.variants[sweep.around])
        self._names: dict[str, str] = {}
        self._made: dict[str, Mapping[str, Any]] = {}
        self._left_out: list[LeftOut] = []
        for name in params.variants:
            key = self._key(params.variants[name])
            if isinstance(key, str):
                self._names.setdefault(key, name)

    def build(self) -> Design:
        sweep = self._sweep
        self._add({}, sweep.around)
        if sweep.design == "grid":
            axes, clean = self._grid()
        else:
            axes, clean = self._one_at_a_time()
        for name in sweep.variants:
            self._made.setdefault(name, self._params.variants[name])
        placed = {name for values in (*axes.values(), *clean.values()) for name in values.values()}
        for name in sweep.dynamics:
            if name not in self._made:
                raise ParameterError(
                    f"Expected sweep.dynamics to name variants of the sweep "
                    f"({choices(self._made)}), got '{name}'."
                )
        return Design(
            around=sweep.around,
            variants=self._made,
            axes=axes,
            clean=clean,
            named=tuple(name for name in self._made if name not in placed | {sweep.around}),
            seeds=sweep.seeds,
            dynamics=sweep.dynamics,
            left_out=tuple(self._left_out),
        )

    def _one_at_a_time(self) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
        axes: dict[str, dict[str, str]] = {}
        clean: dict[str, dict[str, str]] = {}
        for axis, values in self._sweep.axes.items():
            axes[axis] = {}
            for value in values:
                name = _part(axis, value)
                axes[axis][value_text(value)] = self._must(self._setting(axis, value), name)
            if axis in self._sweep.clean:
                clean[axis] = {
                    value_text(value): self._must(
                        self._setting(axis, value) | {"alpha": 0.0}, f"{_part(axis, value)}_clean"
                    )
                    for value in values
                }
        return axes, clean

    def _grid(self) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
        """All combinations; an axis has the variants that differ from the centre only in it."""
        axes: dict[str, dict[str, str]] = {axis: {} for axis in self._sweep.axes}
        centre = {
            axis: value_text(_plain(getattr(self._reference, axis))) for axis in self._sweep.axes
        }
        alphas: tuple[dict[str, float], ...] = ({}, {"alpha": 0.0}) if self._sweep.clean else ({},)
        every = [
            [(axis, value) for axis, value in zip(self._sweep.axes, values, strict=True)]
            for values in product(*self._sweep.axes.values())
        ]
        moves = [
            (combination, [(a, v) for a, v in combination if value_text(v) != centre[a]])
            for combination in every
        ]
        # Fewest changes first, so that equal cells get the shortest name.
        for combination, moved in sorted(moves, key=lambda pair: len(pair[1])):
            settings: dict[str, Any] = {}
            for axis, value in combination:
                settings |= self._setting(axis, value)
            parts = [_part(axis, value) for axis, value in moved]
            for alpha in alphas:
                name = "__".join([*parts, *(["clean"] if alpha else [])]) or self._sweep.around
                made = self._add(settings | alpha, name)
                if made and not alpha and len(moved) <= 1:
                    for axis, value in moved or combination:
                        axes[axis][value_text(value)] = made
        return axes, {}

    def _setting(self, axis: str, value: Any) -> dict[str, Any]:
        """The value with the settings in `brings`; the centre's own value brings none."""
        return {axis: value, **self._sweep.brings.get(axis, {}).get(value_text(value), {})}

    def _must(self, settings: Mapping[str, Any], name: str) -> str:
        made = self._add(settings, name)
        if made is None:
            raise ParameterError(f"sweep.axes: {name}: {self._left_out[-1].reason}")
        return made

    def _add(self, settings: Mapping[str, Any], name: str) -> str | None:
        """Add a variant under its existing or new name; ``None`` if it is left out."""
        definition = {**self._base, **settings}
        key = self._key(definition)
        if isinstance(key, LeftOut):
            self._left_out.append(LeftOut(name, key.reason))
            return None
        if key not in self._names:
            if name in self._params.variants:
                raise ParameterError(
                    f"Expected the variant '{name}' in params.yaml to be what the sweep calls so "
                    f"({definition}), got other settings. Rename it."
                )
            self._names[key] = name
            self._made[name] = self._shortest(definition)
        found = self._names[key]
        self._made.setdefault(found, self._params.variants.get(found, definition))
        return found

    def _key(self, definition: Mapping[str, Any]) -> str | LeftOut:
        """A definition's resolved settings as text."""
        cell = {"cell": self._meaning(definition)}
        try:
            train = self._params.model_copy(update={"variants": cell}).for_variant("cell")
        except ValidationError as error:
            key, said = faults(error, Train)[0]
            if key:  # the value is invalid in every combination
                raise ParameterError(
                    f"sweep.axes: {key}: {said}. Correct sweep.axes or sweep.brings."
                ) from None
            return LeftOut("", said)
        return train.model_dump_json()

    def _meaning(self, definition: Mapping[str, Any]) -> dict[str, Any]:
        """The definition; without prefills, the prefill settings are those of the centre."""
        values = {**self._default, **definition}
        alpha = values["alpha"]
        shares = alpha.values() if isinstance(alpha, dict) else [alpha]
        never = values["prefill_source"] == "none" or values["subset"] == "math"
        if any(shares) and not never:
            return dict(definition)
        same = {key: _plain(getattr(self._reference, key)) for key in PREFILLING}
        return {**definition, **same, "alpha": 0.0, "curriculum": "none"}

    def _shortest(self, definition: Mapping[str, Any]) -> dict[str, Any]:
        """The changes to `train`, and the centre's settings, so that equal cells are equal here."""
        return {
            key: value
            for key, value in self._meaning(definition).items()
            if key in self._base or value != self._default[key]
        }


def _part(axis: str, value: Any) -> str:
    """A valid name of a variant, e.g. ``alpha_0p25``, of letters, digits, _ and -."""
    text = value_text(value).replace(".", "p")
    return f"{axis}_{re.sub(r'[^A-Za-z0-9_-]', '_', text)}"


def _plain(value: Any) -> Any:
    """A setting as params.yaml writes it."""
    if isinstance(value, tuple):
        return list(value)
    return value.model_dump() if hasattr(value, "model_dump") else value


def effective(params: Params, design: Design) -> dict[str, Train]:
    """The training settings of each variant of the design."""
    laid = params.model_copy(update={"variants": {**params.variants, **_dicts(design.variants)}})
    return {name: laid.for_variant(name) for name in design.variants}


def _dicts(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: dict(values) for name, values in variants.items()}


def cells_by_variant(cells: Sequence[Cell]) -> dict[str, list[int]]:
    """The seeds of each variant, in order."""
    found: dict[str, list[int]] = {}
    for cell in cells:
        found.setdefault(cell.variant, []).append(cell.seed)
    return found
