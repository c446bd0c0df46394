"""Model directories: complete Hugging Face folders, safetensors only, never half-written.

Also where models run, and the folder of a run's snapshots: one model directory for each update that
was kept.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recap.errors import ModelError
from recap.models.places import weights_folder
from recap.params.values import Precision
from recap.rows import atomic_directory

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def device() -> torch.device:
    """Where models of this process run: on its GPU, if it has one."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_model(directory: Path, precision: Precision = "float32") -> PreTrainedModel:
    """The causal language model in ``directory``, on the CPU, in evaluation mode.

    Raises ModelError when the directory holds no safetensors model.
    """
    return _load(directory, precision)


def load_scorer(directory: Path) -> PreTrainedModel:
    """The causal language model in ``directory`` where it answers fastest, in evaluation mode.

    For models that score and are never trained: on a GPU in the precision of their files (bf16 for
    most), on the CPU in fp32. Raises ModelError when the directory holds no safetensors model.
    """
    place = device()
    model = _load(directory, "float32" if place.type == "cpu" else "auto")
    return model.to(place)


def _load(directory: Path, dtype: str) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    folder = weights_folder(directory)
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"Expected a model with safetensors weights at {directory}, found none. "
            "Run the stage that makes it, or correct the path."
        )
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, local_files_only=True, use_safetensors=True
    )
    model.name_or_path = str(directory)  # an adapter names its base by it
    return model.eval()


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    directory: Path,
    *,
    weights: dict[str, torch.Tensor] | None = None,
    adapter: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write model and tokenizer aside, then put the folder in place in one rename.

    An adapter is merged into the weights and also written alone, to ``adapter``. ``weights`` (with
    an adapter, merged) and ``adapter``: the parameters of a model that holds only its share of
    them. Raises SpaceError when the disk is full.
    """
    from recap.models.adapter import FOLDER, has_adapter, merged_parameters, save_adapter

    with atomic_directory(directory) as part, system_errors():
        if weights is None and has_adapter(model):
            weights = dict(merged_parameters(model))
        changes = {} if weights is None else {"state_dict": weights}
        model.save_pretrained(part, **changes)
        if has_adapter(model):
            save_adapter(model, part / FOLDER, adapter)
        tokenizer.save_pretrained(part)


@contextmanager
def system_errors() -> Iterator[None]:
    """Raise the system's error, as OSError, where a library tells of it in its own words."""
    try:
        yield
    except Exception as error:
        if isinstance(error.__context__, OSError):  # torch, whose writer then cannot close its file
            raise error.__context__ from error
        if said := re.search(r"\(os error (\d+)\)", str(error)):  # libraries in Rust
            raise OSError(int(said[1]), str(error)) from error
        raise


def snapshot_directory(folder: Path, update: int) -> Path:
    """Where the policy as it was after ``update`` lies in a run's folder of snapshots."""
    return folder / f"update-{update:06d}"


def snapshots(folder: Path) -> dict[int, Path]:
    """The model directories in a run's folder of snapshots, by update, the earliest first.

    Raises ModelError when there is no such folder; a run may have left it empty.
    """
    if not folder.is_dir():
        raise ModelError(
            f"Expected a folder of snapshots at {folder}, found none. Run the train stage."
        )
    return {
        int(path.name.removeprefix("update-")): path for path in sorted(folder.glob("update-*"))
    }


def copy_snapshots(folder: Path, out: Path) -> None:
    """Put all snapshots of ``folder`` (none if it does not exist) at ``out`` in one rename."""
    with atomic_directory(out) as part:
        for path in sorted(folder.glob("update-*")):
            shutil.copytree(path, part / path.name)
