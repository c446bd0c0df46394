"""A registered version as a model that answers: what ``mlflow.pyfunc.load_model`` gives.

MLflow imports this module by its name in MLmodel and calls ``_load_pyfunc`` with the version's
folder. The weights come by md5 from DVC's cache of the clone, or its remote, and every file is
verified before it is read. Leaves out serving; nothing imports this module.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap.errors import DataError, ModelError
from recap.params.models import THINK, Reasoning
from recap.render import Renderer
from recap.rows import read_json
from recap.sampling.torch_sampler import TorchSampler, load_torch_sampler
from recap.tracking.files import ensure_files
from recap.tracking.history import EVIDENCE, MANIFEST, PROVENANCE
from recap.tracking.manifest import Manifest, Provenance, check_version
from recap.tracking.mlmodel import PREFILL, PROMPT, RESPONSE, THOUGHT
from recap.types.rollouts import Decoding

if TYPE_CHECKING:
    from pandas import DataFrame

SIDE_BY_SIDE = 64
"""Sequences generated at once."""


class Policy:
    """The policy of a version in memory."""

    def __init__(self, sampler: TorchSampler, renderer: Renderer) -> None:
        """Both are of one model."""
        self._sampler, self._renderer = sampler, renderer

    def predict(self, rows: DataFrame, params: Mapping[str, Any]) -> DataFrame:
        """A thought and a response for each prompt, in the rows' order.

        The thought is the part that the policy writes after the prefill, if there is one. The
        response is ``None`` where the text ends before it does. The signature gives ``params``
        their defaults. Raises DataError at a prompt that is no text, RenderError at a text with
        template markers.
        """
        from pandas import DataFrame

        for value in rows[PROMPT]:
            if not isinstance(value, str):  # MLflow makes one row of lists of words
                raise DataError(
                    f"Expected a text in each row of '{PROMPT}', got a {type(value).__name__}. "
                    "Give a DataFrame, or a list with a dictionary for each row."
                )
        given = rows[PREFILL] if PREFILL in rows else [None] * len(rows)
        prompts = [
            self._renderer.prompt(prompt, prefill if isinstance(prefill, str) else None)
            for prompt, prefill in zip(rows[PROMPT], given, strict=True)
        ]
        decoding = Decoding(params["temperature"], params["top_p"], params["max_tokens"])
        samples = self._sampler.sample(prompts, decoding, num_samples=1, seed=params["seed"])
        answers = [self._renderer.split(sample.token_ids)[:2] for (sample,) in samples]
        return DataFrame(answers, columns=[THOUGHT, RESPONSE], index=rows.index)


def _load_pyfunc(path: str) -> Policy:
    """The policy of the version whose artifacts lie at ``path``.

    Raises DataError when the artifacts are not as registered, ModelError when a file of the model
    cannot be had, or is not the registered one.
    """
    version = Path(path)
    manifest = read_json(version / MANIFEST, Manifest)
    check_version(manifest, (version / EVIDENCE).read_bytes())
    found = ensure_files(_clone(), manifest)
    with tempfile.TemporaryDirectory() as folder:
        for file, cached in found.items():
            (Path(folder) / file).parent.mkdir(exist_ok=True)
            (Path(folder) / file).symlink_to(cached)
        reasoning = _reasoning(read_json(version / PROVENANCE, Provenance).params)
        renderer = Renderer.from_dir(Path(folder), reasoning)
        return Policy(load_torch_sampler(Path(folder), SIDE_BY_SIDE), renderer)


def _reasoning(params: Mapping[str, str]) -> Reasoning:
    """The tags that the version was trained with; older versions name none."""
    return Reasoning(
        open=params.get("models.reasoning.open", THINK.open),
        close=params.get("models.reasoning.close", THINK.close),
    )


def _clone() -> Path:
    """The clone that the process works in; raises ModelError where there is none."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".dvc").is_dir():
            return folder
    raise ModelError(
        f"Expected a clone of the project around {here}, whose DVC cache or remote has the "
        "weights, found none. Change into the clone and load the model there."
    )
