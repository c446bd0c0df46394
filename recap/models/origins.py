"""Where a model that is not made here comes from, as far as its files tell without loading it.

A local folder, or a hub model pinned to one commit. A folder is looked at: is it whole, does its
chat template open a thought. Leaves out what only the tokenizer knows (one token for each tag) and
all of the hub, which the stage that takes the model finds out.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

PINNED = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
OPEN, CLOSE = "<think>", "</think>"


def origin_fault(root: Path, origin: str, *, reasons: bool) -> str | None:
    """What is wrong with an origin, as ``expected …, got …``; ``None`` if nothing can be seen.

    Folders are named as seen from ``root``. ``reasons``: the template has to open a think block.
    """
    if PINNED.fullmatch(origin):
        return None
    folder = root / origin
    if not folder.is_dir():
        named = " and names no commit" if re.fullmatch(r"[\w.-]+/[\w.-]+(@\S*)?", origin) else ""
        return (
            "expected a model folder or a hub model pinned to a commit (org/name@<40 hex digits>), "
            f"got '{origin}', which is no folder here{named}"
        )
    missing = missing_files(folder)
    if missing:
        return f"expected a whole safetensors model in {origin}, which lacks {', '.join(missing)}"
    return _template_fault(folder, origin) if reasons else None


def missing_files(folder: Path) -> list[str]:
    """The files that a safetensors model needs and the folder lacks, in order."""
    wanted = {"config.json", "tokenizer_config.json"}
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        wanted |= set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    elif not any(folder.glob("*.safetensors")):
        wanted.add("model.safetensors")
    return sorted(name for name in wanted if not (folder / name).is_file())


def _template_fault(folder: Path, origin: str) -> str | None:
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    template = _template(folder, settings)
    if template is None:
        return f"expected a reasoning model in {origin}, got one without a chat template"
    rendered = _rendered(template, settings) if OPEN in template else ""
    if rendered is not None and (rendered.count(OPEN) != 1 or CLOSE in rendered):
        return (
            f"expected a reasoning model in {origin}, whose chat template opens one {OPEN} where "
            f"the answer begins, got {rendered.count(OPEN)} opened, {rendered.count(CLOSE)} closed"
        )
    return None


def _template(folder: Path, settings: dict[str, Any]) -> str | None:
    """The chat template's source; a file of its own comes before the configuration's."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    found = settings.get("chat_template")
    if isinstance(found, list):  # several, by name
        found = {entry["name"]: entry["template"] for entry in found}.get("default")
    return found


def _rendered(template: str, settings: dict[str, Any]) -> str | None:
    """One message by the template, up to the answer; ``None`` if only the tokenizer can say."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    tokens = {name: _text(settings.get(name)) for name in ("bos_token", "eos_token", "pad_token")}
    message = {"role": "user", "content": "what is this ?"}
    try:
        return environment.from_string(template).render(
            messages=[message], add_generation_prompt=True, **tokens
        )
    except TemplateError:  # transformers has functions of its own, of which nothing is known here
        return None


def _text(token: Any) -> str:
    return str(token["content"]) if isinstance(token, dict) else str(token or "")
