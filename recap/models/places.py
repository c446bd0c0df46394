"""Where the weights of a model directory lie: in it, or where its origin has them.

A model that was not made here is not copied: its directory holds configuration, tokenizer and a
record of the origin (recap/types/origins.py), and seven stages read the same file of weights. A
GGUF file is converted once for the clone, below ``.recap``.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from recap.errors import ModelError
from recap.models.digests import folder_digest, sha256_of
from recap.models.download import cached
from recap.models.gguf_header import read_header
from recap.models.spelling import (
    CARD,
    FILES,
    INDEX,
    SECOND_COPIES,
    Folder,
    Gguf,
    Hub,
    OriginError,
    clone_of,
    read_origin,
)
from recap.rows import read_json
from recap.runtime.locks import STATE, exclusive
from recap.types.origins import PROVENANCE, Provenance

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CONVERTED, VIEWS = STATE / "origins", STATE / "views"


def weights_folder(directory: Path) -> Path:
    """A whole Hugging Face folder of ``directory``: itself, or one with links to the weights.

    Raises ModelError when the origin is gone or its weights are not those that were taken.
    """
    if not (directory / PROVENANCE).is_file():
        return directory
    record = read_json(directory / PROVENANCE, Provenance)
    clone = clone_of(Path.cwd())
    ready = converted_folder(clone, record.revision)
    if ready.is_dir():
        return ready
    try:
        found = read_origin(clone, record.origin)
    except OriginError as error:
        raise ModelError(f"The weights of {directory} are gone: {error}. Put them back.") from None
    if isinstance(found, Gguf):
        return convert(found, record.revision, clone)
    folder = found.path if isinstance(found, Folder) else hub_folder(found, directory)
    for file in record.files:
        path = folder / file.name
        same = path.is_file() and path.stat().st_size == file.size
        if not same or (file.sha256 and sha256_of(path, clone) != file.sha256):
            raise ModelError(
                f"Expected {path} as it was when {directory} was made, got "
                f"{'another file' if path.is_file() else 'none'}. Put it back, or take the model "
                "anew with `recap run`."
            )
    return _view(directory, folder, record, clone)


def weights_sha(directory: Path) -> str:
    """One hash of all weight files, in the order of their names."""
    digests = []
    for path in sorted(weights_folder(directory).glob("*.safetensors")):
        with path.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def weights_name(directory: Path) -> str:
    """What a server is called that serves these weights and no others."""
    return f"weights-{weights_sha(directory)}"


def _view(directory: Path, folder: Path, record: Provenance, clone: Path) -> Path:
    """Configuration and tokenizer as ``directory`` has them, with links to the weights recorded.

    An origin's own folder may hold another configuration by now, or second copies of weights.
    """
    small = {
        path.name: path
        for path in directory.iterdir()
        if path.is_file() and path.name != PROVENANCE
    }
    if (folder / INDEX).is_file():
        small[INDEX] = folder / INDEX
    digests = {name: sha256_of(path, clone) for name, path in small.items()}
    view = clone / VIEWS / folder_digest({**digests, "weights": f"{folder.resolve()} {record}"})
    with exclusive(view.with_suffix(".lock")):
        if view.is_dir():
            return view
        part = Path(tempfile.mkdtemp(prefix=".", dir=view.parent))
        for name, path in small.items():
            shutil.copyfile(path, part / name)
        for file in record.files:
            (part / file.name).symlink_to((folder / file.name).resolve())
        part.rename(view)
    return view


def hub_folder(hub: Hub, directory: Path) -> Path:
    """The model in the cache of downloaded models; raises ModelError when it is not whole there."""
    folder = cached(
        hub.name, hub.revision, kind="model", files=(*FILES, CARD), ignored=SECOND_COPIES
    )
    if folder is None:
        raise ModelError(
            f"Expected the weights of {directory} in the cache of downloaded models, found none. "
            f"`hf download {hub.name} --revision {hub.revision}` fetches them again."
        )
    return folder


def converted_folder(clone: Path, sha256: str) -> Path:
    """Where the conversion of a GGUF file stands."""
    return clone / CONVERTED / sha256


def convert(gguf: Gguf, sha256: str, clone: Path) -> Path:
    """A folder with the weights of a GGUF file in fp32, converted unless it is there.

    Raises ModelError when the file is not the one that ``sha256`` is of.
    """
    folder = converted_folder(clone, sha256)
    with exclusive(folder.with_suffix(".lock")):
        if folder.is_dir():
            return folder
        if (got := sha256_of(gguf.path, clone)) != sha256:
            raise ModelError(
                f"Expected {gguf.path} with the sha256 {sha256}, got {got}. Put the file back, or "
                "take the model anew with `recap run`."
            )
        from recap.models.weights import save_model  # which looks here for its weights

        print(f"converting {gguf.path.name} to fp32", file=sys.stderr)
        with contextlib.redirect_stderr(io.StringIO()):  # bars
            model, tokenizer = _read(gguf.path)
        save_model(model, tokenizer, folder)
    return folder


@contextlib.contextmanager
def _read_once() -> Iterator[None]:
    """Have a GGUF file's header and the list of its tensors' names read once.

    transformers reads the header four times and lists the names for each module: for SmolLM2 45
    seconds of 56.
    """
    import gguf

    names = ("GGUFReader", "get_tensor_name_map")
    with contextlib.ExitStack() as restored:
        for name in names:
            original = getattr(gguf, name)
            restored.callback(setattr, gguf, name, original)
            setattr(gguf, name, functools.cache(original))
        yield


def _read(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer of a GGUF file; raises ModelError when transformers cannot read all."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    dense = {"quantization_config": GgufConfig(dequantize=True), "dtype": "float32"}
    # Alone: a neighbour's tokenizer.json would come first.
    with tempfile.TemporaryDirectory() as alone, _read_once():
        file = Path(alone) / path.name
        file.symlink_to(path.resolve())
        # By its name alone the file would be sought in the current folder first.
        where = {"gguf_file": str(file), "local_files_only": True}
        try:
            tokenizer = AutoTokenizer.from_pretrained(alone, **where)
            model, loaded = AutoModelForCausalLM.from_pretrained(
                alone, output_loading_info=True, **dense, **where
            )
        except Exception as error:  # whatever the file's contents lead transformers to raise
            reason = str(error).strip().splitlines()
            raise ModelError(
                f"Expected a GGUF file that transformers can read, got {path}: "
                f"{reason[0] if reason else type(error).__name__} Take another conversion of the "
                "model, or its safetensors."
            ) from error
    if lacking := sorted({*loaded["missing_keys"], *map(str, loaded["mismatched_keys"])}):
        raise ModelError(
            f"Expected all weights in {path}, got none that fit for {len(lacking)} of them, "
            f"{lacking[0]} first. Take a whole conversion of the model."
        )
    ids = read_header(path).special_ids  # transformers takes BOS for EOS in some architectures
    for name, number in ids.items():
        setattr(tokenizer, name, tokenizer.convert_ids_to_tokens(number))
    return model, tokenizer
