"""Model directories: complete Hugging Face folders, safetensors only, never half-written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from recap.errors import ModelError
from recap.rows import atomic_directory

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_model(directory: Path) -> PreTrainedModel:
    """The causal language model in ``directory``, in fp32 and evaluation mode.

    Raises ModelError when the directory holds no safetensors model.
    """
    from transformers import AutoModelForCausalLM

    if not (directory / "config.json").is_file() or not any(directory.glob("*.safetensors")):
        raise ModelError(
            f"Expected a model with safetensors weights at {directory}, found none. "
            "Run the stage that makes it, or correct the path."
        )
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype="float32", local_files_only=True, use_safetensors=True
    )
    return model.eval()


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, directory: Path) -> None:
    """Write model and tokenizer aside, then put the folder in place in one rename.

    Raises SpaceError when the disk is full.
    """
    with atomic_directory(directory) as part:
        try:
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)
        except Exception as error:  # the libraries in Rust tell the system's error in words alone
            if said := re.search(r"\(os error (\d+)\)", str(error)):
                raise OSError(int(said[1]), str(error)) from error
            raise
