"""Stage ``models``: policy or guardian, trained from scratch in the microworld or imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recap.params.models import ModelName
from recap.params.seeds import derive_seed
from recap.params.whole import read_params
from recap.rows import atomic_directory
from recap.runtime.stage import run_stage
from recap.types.origins import RUBRIC_FOLDER, RULES


def main(model: ModelName, out: Annotated[Path, typer.Option()]) -> None:
    """Obtain MODEL (policy or guardian) and write it as a Hugging Face folder."""
    params = read_params()
    origin = params.models.origins.get(model)
    if model == "guardian" and origin:
        from recap.models.hub import obtain, stand_in

        with atomic_directory(out) as part:  # both models or none
            stand_in(part) if origin == RULES else obtain(origin, part, None)
            if rubric := params.models.origins.get("rubric"):
                obtain(rubric, part / RUBRIC_FOLDER, None)
        return
    if origin and model == "policy" and params.models.warm_start is not None:
        from recap.sft.warm_policy import warm_policy

        warm_policy(origin, out, params.models.warm_start, params.models.reasoning, params.seed)
        return
    if origin:
        from recap.models.hub import obtain

        obtain(origin, out, params.models.reasoning)
        return

    from recap.microworld import upbringing
    from recap.microworld.grammar import World
    from recap.microworld.pretraining import fit, make_model
    from recap.microworld.tokenizer import make_tokenizer
    from recap.models.weights import save_model
    from recap.render import Renderer

    world = World(params.world, params.seed)
    tokenizer = make_tokenizer(params.models.context)
    renderer = Renderer(tokenizer)
    examples, section = {
        "policy": (upbringing.policy_examples, params.models.policy),
        "guardian": (upbringing.guardian_examples, params.models.guardian),
    }[model]
    network = make_model(params.models, tokenizer, derive_seed(params.seed, "weights", model))
    fit(network, examples(world, renderer), section)
    save_model(network, tokenizer, out)


if __name__ == "__main__":
    run_stage(main)
