"""The licence that a model's card or its Python package names; ``None`` where neither does."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from recap.models.spelling import CARD


def card_licence(folder: Path) -> str | None:
    """The licence in the head of the model card in ``folder``."""
    card = folder / CARD
    if not card.is_file():
        return None
    head = re.match(
        r"---\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL
    )
    said = re.search(r"^license: *[\"']?([^\s\"']+)", head[1], re.MULTILINE) if head else None
    return said[1] if said else None


def package_licence(package: str | None) -> str | None:
    """The licence in an installed package's metadata."""
    if package is None:
        return None
    metadata = importlib.metadata.metadata(package)
    fields = (field for field in ("License-Expression", "License") if field in metadata)
    return next((metadata[field] for field in fields), None)
