"""Stage ``sources``: a prefill source, fine-tuned from the base policy to think in one manner."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recap.params import read_params
from recap.stages.process import run_stage


def main(
    source: str,
    policy: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
) -> None:
    """Fine-tune SOURCE from the base policy and write it as a Hugging Face folder."""
    from recap.microworld import upbringing
    from recap.microworld.grammar import World
    from recap.microworld.pretraining import fit
    from recap.render import Renderer
    from recap.weights import load_model, save_model

    params = read_params()
    world = World(params.world, params.seed)
    renderer = Renderer.from_dir(policy)
    network = load_model(policy)
    fit(network, upbringing.source_examples(world, renderer, source), params.sources)
    save_model(network, renderer.tokenizer, out)


if __name__ == "__main__":
    run_stage(main)
