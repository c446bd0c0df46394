"""The parameter file: what is refused, with which words, and what variants lay over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from recap.errors import ParameterError
from recap.params import derive_seed, read_params

ROOT = Path(__file__).parents[2]


def _write(tmp_path: Path, change: dict[str, Any]) -> Path:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for dotted, value in change.items():
        *path, last = dotted.split(".")
        place = values
        for key in path:
            place = place[key]
        place[last] = value
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train.alpha": 1.5}, r"train\.alpha: .*less than or equal to 1, got 1\.5"),
        ({"train.alpha": -0.1}, r"train\.alpha: .*greater than or equal to 0, got -0\.1"),
        ({"train.alpha": "half"}, r"train\.alpha: .*valid number.*, got 'half'"),
        ({"train.prefill_words": 0}, r"train\.prefill_words: .*greater than or equal to 1, got 0"),
        ({"train.prefill_source": "wiki"}, r"train\.prefill_source: .*'counter', 'aligned' or"),
        ({"train.alhpa": 0.5}, r"train\.alhpa: Extra inputs are not permitted"),
        ({"train.grpo.top_q": 1}, r"train\.grpo\.top_q: Extra inputs are not permitted"),
        ({"variants.recap": {"alpha": 2}}, r"variants\.recap\.alpha: .*equal to 1, got 2"),
        ({"variants.recap": {"alhpa": 0.5}}, r"variants\.recap\.alhpa: Extra inputs"),
        ({"train.method": "dpo"}, r"train\.method: .*'rl' or 'sft', got 'dpo'"),
        ({"train.sft.traces": "own"}, r"train\.sft\.traces: .*'deliberative' or 'safechain'"),
        ({"train.sft.batch_tokens": 0}, r"train\.sft\.batch_tokens: .*to 1, got 0"),
        ({"train.sft.attempts": 0}, r"train\.sft\.attempts: .*to 1, got 0"),
        ({"train.sft.learning_rate": 0}, r"train\.sft\.learning_rate: .*greater than 0, got 0"),
        (
            {"variants.sft_star": {"sft": {"trace": "plain"}}},
            r"variants\.sft_star\.sft\.trace: Extra inputs",
        ),
        ({"matrix.variants": ["base", "racep"]}, r"unknown variant 'racep': .*aligned, base, dapo"),
        ({"matrix.sources": ["harmful", "evil"]}, r"matrix\.sources"),
        ({"attack.benchmarks": ["harmful", "magic"]}, r"attack\.benchmarks"),
        ({"gate.candidate": "nobody"}, r"unknown variant 'nobody'"),
        ({"prepare.sources": {}}, r"prepare\.sources"),
        ({"prepare.sources": {"gsm8k": None}}, r"prepare\.sources\.gsm8k takes a directory"),
        ({"prepare.sources": {"hearsay": "x"}}, r"prepare\.sources"),
        ({"seed": -1}, r"seed: .*greater than or equal to 0, got -1"),
        ({"sampling.engine": "magic"}, r"sampling\.engine"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        read_params(_write(tmp_path, change))


def test_a_missing_file_and_broken_yaml_are_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="Expected the parameter file"):
        read_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("seed: [")
    with pytest.raises(ParameterError, match="not valid YAML"):
        read_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("")
    with pytest.raises(ParameterError, match="do not fit"):
        read_params(tmp_path / "params.yaml")


def test_a_variant_changes_only_what_it_names(tmp_path: Path) -> None:
    file = _write(
        tmp_path, {"variants.hot": {"alpha": 0.75, "grpo": {"temperature": 1.5}}, "train.tau": 0.8}
    )
    params = read_params(file)
    hot = params.for_variant("hot")
    assert (hot.alpha, hot.grpo.temperature, hot.tau) == (0.75, 1.5, 0.8)
    assert hot.grpo.num_generations == params.train.grpo.num_generations
    assert params.for_variant("dapo").alpha == 0.0
    assert params.for_variant("base").updates == 0
    with pytest.raises(ParameterError, match=r"Expected a variant among .* got 'cold'"):
        params.for_variant("cold")


def test_derived_seeds_are_fixed_and_apart() -> None:
    assert derive_seed(0, "a", 1) == 886027111
    seeds = {derive_seed(seed, name) for seed in range(50) for name in ("a", "b")}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**31 for seed in seeds)
