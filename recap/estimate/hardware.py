"""What a device can do: memory, operations and bytes a second, and which share of them is used.

``infra/hardware.yaml`` has the devices; who has another adds it there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from recap.errors import ParameterError, choices
from recap.estimate.reading import checked
from recap.params.document import read_document
from recap.params.values import Section

FILE = Path("infra/hardware.yaml")
FORM = re.compile(r"(?:(?P<count>[1-9]\d*)x)?(?P<name>[\w.-]+)")
Amount = Annotated[float, Field(gt=0.0)]
Part = Annotated[float, Field(gt=0.0, le=1.0)]


class Device(Section):
    """Bytes of ``memory``; ``peak`` operations and ``bandwidth`` bytes a second.

    ``training`` and ``decoding`` are the shares of the peak, or of what bandwidth and peak allow,
    that the work reaches. ``gpu``: vLLM's engine and the guardian lie on it beside the policy.
    """

    gpu: bool
    memory: Amount
    peak: Amount
    bandwidth: Amount
    training: Part
    decoding: Part


@dataclass(frozen=True, slots=True)
class Hardware:
    """``count`` equal devices; each has a process of its own."""

    count: int
    name: str
    device: Device


def read_hardware(root: Path, text: str) -> Hardware:
    """The hardware that ``8xH100`` names; raises ParameterError for an unknown device."""
    devices = read_document(root / FILE)
    known = {name.casefold(): name for name in devices}
    found = FORM.fullmatch(text)
    name = known.get(found["name"].casefold()) if found else None
    if found is None or name is None:
        raise ParameterError(
            f"Expected --hardware COUNTxDEVICE, a device among {choices(devices)}, got '{text}'. "
            f"{FILE} has their figures; add another one there."
        )
    return Hardware(int(found["count"] or 1), name, checked(Device, devices[name], FILE))
