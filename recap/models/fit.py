"""Whether a whole model can think, knows its tokenizer's ids, and has room for a prompt and more.

Its files tell, without loading it. Leaves out templates that only transformers can render.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from recap.models.gguf_header import Header
from recap.params.models import Reasoning
from recap.turn import THINKING, TODAY, closes

GENERATION = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")


def unfit_folder(
    folder: Path, origin: str, reasoning: Reasoning | None, completion: int
) -> str | None:
    """Why a whole folder does not fit, as ``expected …, got …``; ``None`` if it does."""
    settings = _json(folder / "tokenizer_config.json")
    template = _template(folder, settings)
    fault = None if reasoning is None else _template_fault(template, settings, origin, reasoning)
    return fault or _size_fault(folder, template, settings, origin, completion)


def unfit_header(
    header: Header, origin: str, reasoning: Reasoning | None, completion: int
) -> str | None:
    """The same of a GGUF file, as far as its header tells."""
    fault = None if reasoning is None else _template_fault(header.template, {}, origin, reasoning)
    if fault or header.context is None or header.context >= completion:
        return fault
    return (
        f"expected a model with room for {completion} tokens after a prompt in {origin}, got a "
        f"context of {header.context}. Take a model with a longer context, or lower the lengths in "
        "prefill, train and attack"
    )


def unfit_guardian(folder: Path, origin: str, *, rubric: bool) -> str | None:
    """Why a whole folder cannot be the guardian; ``rubric``: it has to read benign answers too."""
    template = _template(folder, _json(folder / "tokenizer_config.json"))
    if template is None:
        return f"expected a guardian with a chat template in {origin}, got one without"
    said = _said_as_one_token(folder / "tokenizer.json")
    if said is None:  # a tokenizer that transformers has to convert
        return None
    if "guardian_config" not in template and not {"yes", "no"} <= {word.lower() for word in said}:
        return (
            f"expected a guardian that says Yes or No in one token in {origin}, got a tokenizer "
            "without these. Take another instruct model"
        )
    if rubric and "guardian_config" in template and "0.5" not in said:
        return (
            f"expected a guardian that answers a rubric with 0, 0.5 or 1 in {origin}, got one "
            "whose tokenizer has no token 0.5: Granite Guardian was never taught a rubric. Name "
            "an instruct model in models.origins.rubric, which then reads the benign answers"
        )
    return None


def _said_as_one_token(tokenizer: Path) -> set[str] | None:
    """The vocabulary without the marks of spaces; ``None`` without a file that can be read."""
    if not tokenizer.is_file():
        return None
    from tokenizers import Tokenizer

    vocabulary = Tokenizer.from_file(str(tokenizer)).get_vocab()
    return {token.lstrip("\u0120\u2581") for token in vocabulary}


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
    config |= config.get("text_config") or {}
    rows, context = config.get("vocab_size"), config.get("max_position_embeddings")
    file = folder / "tokenizer.json"
    if not file.is_file():  # a tokenizer that transformers has to convert
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library in Rust raises nothing narrower
        return f"expected a tokenizer in {origin}/{file.name}, got one that cannot be read: {error}"
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if rows is not None and highest >= rows:
        return (
            f"expected a tokenizer whose ids fit the model in {origin}, got ids up to {highest} "
            f"and an embedding of {rows} rows. Take the tokenizer that was published with these "
            "weights, or resize the embedding"
        )
    if context is None or not completion:
        return None
    prompt = _rendered(template or "", settings) or ""
    length = len(tokenizer.encode(prompt, add_special_tokens=False).ids)
    if context < length + completion:
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
    except Exception:  # a template may do anything; transformers has functions unknown here
        return None


def _json(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _text(token: Any) -> str:
    return str(token["content"]) if isinstance(token, dict) else str(token or "")
