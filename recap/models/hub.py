"""Models that are not made here: a local folder, or a hub model pinned to one commit.

Only what a safetensors model needs is taken: configuration, tokenizer, template, weights; no
pickles and no code. The folder appears complete or not at all. Leaves out following a branch: what
it points to may change behind DVC's back.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from recap.errors import ModelError
from recap.models.origins import PINNED, folder_fault
from recap.params.models import Reasoning
from recap.render import Renderer
from recap.rows import atomic_directory

FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
SECOND_COPIES = ("*/*", "consolidated*.safetensors")
"""The same weights in another layout: the hub's ``*`` crosses folders (original/, onnx/)."""


def obtain(origin: str, out: Path, reasoning: Reasoning | None) -> None:
    """Put the model of ``origin`` at ``out``: a folder's path, or ``org/name@<40 hex digits>``.

    ``reasoning``: the tags between which it has to think, ``None`` where it need not. Raises
    ModelError when the origin cannot be had or is not such a model, RenderError when its template
    cannot be rendered; ``out`` is then as before.
    """
    with atomic_directory(out) as part:
        pinned = PINNED.fullmatch(origin)
        if pinned:
            _download(pinned["name"], pinned["revision"], part)
        else:
            _copy(Path(origin), part)
        if fault := folder_fault(part, origin, reasoning):
            raise ModelError(
                f"{fault[0].upper()}{fault[1:]}. Mend the model, or name another origin."
            )
        if reasoning is not None:
            Renderer.from_dir(part, reasoning).prompt("what is this ?")


def _download(name: str, revision: str, part: Path) -> None:
    os.environ["HF_HUB_OFFLINE"] = "0"  # the one place that may look at the network
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        snapshot_download(
            name,
            revision=revision,
            local_dir=part,
            allow_patterns=list(FILES),
            ignore_patterns=list(SECOND_COPIES),
        )
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"Expected to download {name} at {revision} from the hub, got: {reason} Check name, "
            "revision and connection, or copy the model to a folder and name that."
        ) from error
    shutil.rmtree(part / ".cache", ignore_errors=True)


def _copy(directory: Path, part: Path) -> None:
    if not directory.is_dir():
        raise ModelError(
            f"Expected a model folder or a pinned hub model (org/name@<40 hex digits>), got "
            f"'{directory}', which is neither. Correct the origin in params.yaml."
        )
    for pattern in FILES:
        for file in directory.glob(pattern):
            if any(file.match(second) for second in SECOND_COPIES[1:]):
                continue
            shutil.copyfile(file, part / file.name)
