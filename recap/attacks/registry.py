"""The attacks by name."""

from __future__ import annotations

from recap import params
from recap.attacks.attack import Attack
from recap.attacks.direct import Direct
from recap.attacks.hijack import Hijack
from recap.attacks.ipr import IterativePrefillReset
from recap.attacks.prefill import PrefillAttack
from recap.errors import ParameterError, choices
from recap.render import Renderer

ATTACKS: dict[str, type[Attack]] = {
    "direct": Direct,
    "prefill": PrefillAttack,
    "hijack": Hijack,
    "ipr": IterativePrefillReset,
}


def open_attack(name: str, renderer: Renderer, settings: params.Attack) -> Attack:
    """The attack of that name; raises ParameterError when there is none."""
    if name not in ATTACKS:
        raise ParameterError(
            f"Expected an attack among {choices(ATTACKS)}, got '{name}'. "
            "Register it in recap/attacks/registry.py."
        )
    return ATTACKS[name](renderer, settings)
