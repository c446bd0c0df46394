"""Where a model that is not made here comes from, as far as its files tell without loading it.

A local folder, or a hub model pinned to one commit. A folder is looked at: is it whole, can its
model think, does it know every token of its tokenizer, is its context long enough. Leaves out
templates that only transformers can read, and all of the hub: the stage that takes a model from
there looks at its files in the same way.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from recap.params.models import Reasoning
from recap.turn import THINKING, TODAY, closes

PINNED = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
GENERATION = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")


def origin_fault(
    root: Path, origin: str, reasoning: Reasoning | None = None, completion: int = 0
) -> str | None:
    """What is wrong with an origin, as ``expected …, got …``; ``None`` if nothing can be seen.

    Folders are named as seen from ``root``. With ``reasoning`` the model has to think between these
    tags; it has to have room for ``completion`` tokens after a prompt.
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
    return folder_fault(folder, origin, reasoning, completion)


def folder_fault(
    folder: Path, origin: str, reasoning: Reasoning | None, completion: int = 0
) -> str | None:
    """What is wrong with a model folder that came from ``origin``, as in ``origin_fault``."""
    missing = missing_files(folder)
    if missing:
        return f"expected a whole safetensors model in {origin}, which lacks {', '.join(missing)}"
    settings = _json(folder / "tokenizer_config.json")
    template = _template(folder, settings)
    fault = None if reasoning is None else _template_fault(template, settings, origin, reasoning)
    return fault or _size_fault(folder, template, settings, origin, completion)


def missing_files(folder: Path) -> list[str]:
    """The files that a safetensors model needs and the folder lacks, in order."""
    wanted = {"config.json", "tokenizer_config.json"}
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        wanted |= set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    elif not any(folder.glob("*.safetensors")):
        wanted.add("model.safetensors")
    return sorted(name for name in wanted if not (folder / name).is_file())


def _template_fault(
    template: str | None, settings: dict[str, Any], origin: str, reasoning: Reasoning
) -> str | None:
    if template is None:
        return f"expected a reasoning model in {origin}, got one without a chat template"
    if GENERATION.search(template):
        return (
            f"expected a chat template without {{% generation %}} in {origin}, got one with it, "
            "which marks an assistant's words for trainers. Take this tag and "
            "{% endgeneration %} out, and leave what stands between them"
        )
    if reasoning.open not in template and reasoning.close not in template:
        return (
            f"expected a model that thinks between {reasoning.open} and {reasoning.close} in "
            f"{origin}, got one whose chat template has neither: it cannot think yet. Name its own "
            f"tags in models.reasoning, or train it to think and let its template open "
            f"{reasoning.open} where the answer begins"
        )
    prompt = _rendered(template, settings)
    if prompt is not None and closes(prompt, reasoning):
        return (
            f"expected a reasoning model in {origin}, got one whose chat template closes the "
            f"thought with {reasoning.close} before the model can think"
        )
    return None


def _size_fault(
    folder: Path, template: str | None, settings: dict[str, Any], origin: str, completion: int
) -> str | None:
    """Whether tokenizer or completions are too large for the model."""
    config = _json(folder / "config.json")
    config |= config.get("text_config", {})
    rows, context = config.get("vocab_size"), config.get("max_position_embeddings")
    file = folder / "tokenizer.json"
    if not file.is_file():  # a tokenizer that transformers has to convert
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if rows is not None and highest >= rows:
        return (
            f"expected a tokenizer whose ids fit the model in {origin}, got ids up to {highest} "
            f"and an embedding of {rows} rows. Take the tokenizer that was published with these "
            "weights, or resize the embedding"
        )
    prompt = _rendered(template or "", settings) or ""
    length = len(tokenizer.encode(prompt, add_special_tokens=False).ids)
    if context is not None and completion and context < length + completion:
        return (
            f"expected a model with room for a prompt of {length} tokens, its template's own, and "
            f"{completion} after it in {origin}, got max_position_embeddings {context}. Take a "
            "model with a longer context, or lower the lengths in prefill, train and attack"
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
    environment.globals["strftime_now"] = TODAY.strftime
    tokens = {name: _text(settings.get(name)) for name in ("bos_token", "eos_token", "pad_token")}
    message = {"role": "user", "content": "what is this ?"}
    try:
        return environment.from_string(template).render(
            messages=[message], add_generation_prompt=True, **tokens, **THINKING
        )
    except TemplateError:  # transformers has functions of its own, of which nothing is known here
        return None


def _json(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _text(token: Any) -> str:
    return str(token["content"]) if isinstance(token, dict) else str(token or "")
