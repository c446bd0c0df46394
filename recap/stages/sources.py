"""Stage ``sources``: a prefill source, fine-tuned to one manner of thinking, or imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recap.params.whole import read_params
from recap.runtime.stage import run_stage
from recap.types.sources import Source


def main(
    source: Source,
    policy: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
) -> None:
    """Obtain SOURCE and write it as a Hugging Face folder."""
    params = read_params()
    origin = params.sources.origins.get(source)
    if origin:
        from recap.models.hub import obtain

        obtain(origin, out, params.models.reasoning)
        return

    if source in params.sources.traces:
        from recap.sft.warm_policy import warm_source

        warm = params.models.warm_start
        assert warm is not None, "recap.params.whole checks it"
        warm_source(
            source,
            policy,
            out,
            section=params.sources,
            longest=warm.longest,
            reasoning=params.models.reasoning,
            seed=params.seed,
        )
        return

    from recap.microworld import upbringing
    from recap.microworld.grammar import World
    from recap.microworld.pretraining import fit
    from recap.models.weights import load_model, save_model
    from recap.render import Renderer

    world = World(params.world, params.seed)
    renderer = Renderer.from_dir(policy, params.models.reasoning)
    network = load_model(policy)
    fit(network, upbringing.source_examples(world, renderer, source), params.sources)
    save_model(network, renderer.tokenizer, out)


if __name__ == "__main__":
    run_stage(main)
