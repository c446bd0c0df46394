"""The parameter file: what is refused, with which words, and what variants lay over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from recap.errors import ParameterError
from recap.params.checks import check_pipeline
from recap.params.seeds import derive_seed
from recap.params.whole import read_params
from tests.parameters import write_params

ROOT = Path(__file__).parents[2]
SHARDED = {"processes": 2, "nodes": 1, "shard": "fsdp2"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"judge.judge": "No body"}, r"judge\.judge: .*got 'No body'"),
        ({"judge.second": "oracle"}, r"judge: judge\.second has to be another .* got oracle for"),
        ({"judge.api.base_url": "file:///x"}, r"base_url: takes http:// .* password or query$"),
        ({"judge.api.base_url": "https://a:b@x/v1"}, r"base_url: takes http:// .* query$"),
        ({"judge.api.key": "sk-1234"}, r"judge\.api\.key: takes the name .*, never the key$"),
        ({"judge.api.concurrency": 0}, r"judge\.api\.concurrency: .*, got 0"),
        ({"train.alpha": 1.5}, r"train\.alpha: .*less than or equal to 1, got 1\.5"),
        ({"train.alpha": -0.1}, r"train\.alpha: .*greater than or equal to 0, got -0\.1"),
        ({"train.alpha": "half"}, r"train\.alpha: .*valid number.*, got 'half'"),
        ({"train.alpha": {"harmful": 0.5}}, r"train\.alpha\.benign: Field required"),
        (
            {"train.alpha": {"harmful": 0.5, "benign": 2}},
            r"train\.alpha\.benign: .*equal to 1, got 2",
        ),
        (
            {"train.alpha": {"harmful": 0, "benign": 0, "math": 1}},
            r"train\.alpha\.math: there is no such parameter\. Remove it$",
        ),
        ({"train.alpha_mode": "coin"}, r"train\.alpha_mode: .*'exact' or 'bernoulli', got 'coin'"),
        (
            {"train.prefill_length": 0},
            r"train\.prefill_length: .*greater than or equal to 1, got 0",
        ),
        ({"train.prefill_length": [0, 9]}, r"train\.prefill_length\.0: .*or equal to 1, got 0"),
        ({"train.prefill_length": [9]}, r"train\.prefill_length\.1: Field required"),
        ({"train.prefill_length": [9, 8]}, r"train\.prefill_length: .*the longer, not 9 to 8"),
        ({"train.prefill_words": 80}, r"train\.prefill_words: .*the nearest name is 'prefill_\w+'"),
        ({"train.prefill_unit": "letters"}, r"train\.prefill_unit: .*'words' or 'tokens'"),
        (
            {"train.prefill_source": "wiki"},
            r"train\.prefill_source: .*'none' or 'self', got 'wiki'",
        ),
        ({"train.launch.processes": 0}, r"train\.launch\.processes: .*equal to 1, got 0"),
        ({"train.launch.nodes": 0}, r"train\.launch\.nodes: .*equal to 1, got 0"),
        (
            {"train.launch.shard": "zero3"},
            r"train\.launch\.shard: .*'none' or 'fsdp2', got 'zero3'",
        ),
        (
            {"train.launch.shard": "fsdp2"},
            r"train\.launch: shard fsdp2 divides .* got one process .*2 or more, or shard: none\)",
        ),
        (
            {"train.launch": SHARDED, "train.engine": "vllm"},
            r"train: launch\.shard fsdp2 takes its rollouts from engine torch or server: .*none\)",
        ),
        ({"train.self_prefill_updates": 0}, r"train\.self_prefill_updates: .*equal to 1, got 0"),
        ({"train.self_prefill_prompts": 0}, r"train\.self_prefill_prompts: .*equal to 1, got 0"),
        (
            {"train.subset": "safety"},
            r"train\.subset: .*'all', 'alignment' or 'math', got 'safety'",
        ),
        ({"train.optimizer": "ppo"}, r"train\.optimizer: .*'dapo', 'grpo' or 'dr_grpo', got 'ppo'"),
        (
            {"train.optimizer": "grpo", "train.aggregation": "group_tokens"},
            r"train: .*group_tokens belongs to optimizer dapo; grpo has its own",
        ),
        (
            {"variants.x": {"optimizer": "dr_grpo", "aggregation": "group_tokens"}},
            r"variants\.x: .*group_tokens belongs to optimizer dapo; dr_grpo has its own \(.*\)$",
        ),
        (
            {"train.aggregation": "group_tokens", "train.grpo.beta": 0.1},
            r"train: .*group_tokens has no KL term, so grpo\.beta has to be 0, got 0\.1",
        ),
        ({"train.tau": 0.01}, r"train: .*tau has to be above reward_epsilon.*got 0\.01 and 0\.01"),
        ({"train.tau": float("nan")}, r"train\.tau: .*finite number, got nan"),
        (
            {"variants.x": {"safety_reward": "logit"}},
            r"variants\.x: .*truncated_reward has to be far below 0 or silence is paid; got 0\.0",
        ),
        ({"train.curriculum": "steep"}, r"train\.curriculum: .*'none' or 'adaptive', got 'steep'"),
        ({"train.curriculum_target": 1.0}, r"train\.curriculum_target: .*less than 1, got 1\.0"),
        ({"train.curriculum_step": 0}, r"train\.curriculum_step: .*greater than 0, got 0"),
        (
            {"train.curriculum_alpha": [0, 0.5]},
            r"train\.curriculum_alpha\.0: .*greater than 0, got 0",
        ),
        (
            {"train.curriculum_alpha": [0.6, 0.5]},
            r"train\.curriculum_alpha: .*comes first, not 0\.6 to 0\.5",
        ),
        ({"train.curriculum": "adaptive"}, r"train: .*exact share.*set alpha_mode: bernoulli"),
        (
            {"variants.curriculum.alpha": {"harmful": 0.5, "benign": 0.1}},
            r"variants\.curriculum: .*0\.25 to 0\.75 .*got harmful 0\.5 and benign 0\.1",
        ),
        (
            {"variants.curriculum.alpha": 0.0},
            r"variants\.curriculum: .*not for both\), got harmful 0 and benign 0",
        ),
        ({"train.turn_reward": -0.1}, r"train\.turn_reward: .*equal to 0, got -0\.1"),
        ({"train.turn_reward": float("inf")}, r"train\.turn_reward: .*finite number, got inf"),
        ({"train.alhpa": 0.5}, r"train\.alhpa: .*the nearest name is 'alpha'. Correct it$"),
        ({"train.grpo.top_q": 1}, r"train\.grpo\.top_q: there is no such parameter\. Remove it$"),
        ({"variants.recap": {"alpha": 2}}, r"variants\.recap\.alpha: .*equal to 1, got 2"),
        ({"variants.recap": {"alhpa": 0.5}}, r"variants\.recap\.alhpa: .* name is 'alpha'. Corr"),
        ({"train.method": "dpo"}, r"train\.method: .*'rl' or 'sft', got 'dpo'"),
        ({"train.sft.traces": "own"}, r"train\.sft\.traces: .*'deliberative' or 'safechain'"),
        ({"train.sft.batch_tokens": 0}, r"train\.sft\.batch_tokens: .*to 1, got 0"),
        ({"train.sft.attempts": 0}, r"train\.sft\.attempts: .*to 1, got 0"),
        ({"train.sft.learning_rate": 0}, r"train\.sft\.learning_rate: .*greater than 0, got 0"),
        (
            {"variants.sft_star": {"sft": {"trace": "plain"}}},
            r"variants\.sft_star\.sft\.trace: .*the nearest name is 'traces'. Correct it",
        ),
        ({"matrix.variants": ["base", "racep"]}, r"unknown variant 'racep': .*aligned, .* recap"),
        ({"matrix.sources": ["harmful", "evil"]}, r"matrix\.sources"),
        (
            {"attack.benchmarks": ["harmful", "the magic"]},
            r"attack\.benchmarks\.1: .*match pattern",
        ),
        ({"models.origins": {"poilcy": "hub/x"}}, r"models\.origins\.poilcy.*: Input should be"),
        (
            {"sources.origins": {"harmful": "hub/x", "harmful_eval": "hub/x"}},
            r"origins\.harmful_eval is evaluation's and must be another model than training's harm",
        ),
        (
            {"attack.decoding": {"a prose": {"samples": 2}}},
            r"attack\.decoding\.a prose.*: .*match pattern",
        ),
        (
            {"attack.decoding": {"math": {"samples": 0}}},
            r"attack\.decoding\.math\.samples: .*got 0",
        ),
        ({"gate.candidate": "nobody"}, r"gate\.candidate: unknown variant 'nobody'"),
        (
            {"gate.checks": [{"benchmark": "math", "kind": "floor"}]},
            r"gate\.checks\.0: a check of kind floor on math takes a `floor`, got None",
        ),
        (
            {"gate.checks": [{"benchmark": "math", "kind": "superior", "floor": 0.9}]},
            r"of kind superior on math takes no `floor`, got 0\.9",
        ),
        (
            {"gate.checks": [{"benchmark": "m", "kind": "floor", "floor": 0.9, "against": "base"}]},
            r"a floor compares with nobody",
        ),
        (
            {"gate.checks": [{"benchmark": "math", "kind": "better"}]},
            r"checks\.0\.kind: .*'better'",
        ),
        (
            {
                "gate.checks": [
                    {"benchmark": "math", "kind": "superior"},
                    {"benchmark": "math", "kind": "superior", "against": "dapo"},
                ]
            },
            r"checks name each condition once, got superior on math twice",
        ),
        ({"gate.checks": []}, r"gate\.checks: .*at least 1"),
        ({"gate.margin": 0.0}, r"gate\.margin: .*greater than 0"),
        ({"variants.a/b": {"alpha": 0.3}}, r"variants: a name has .* got 'a/b'"),
        ({"models.hidden_size": 130}, r"hidden_size has to be a multiple of .* \(8\).* got 130"),
        (
            {"train.grpo.lr_scheduler_type": "lineer"},
            r"lr_scheduler_type: Input should be 'linear'",
        ),
        (
            {"sources.origins": {"harmful": "hub/x", "harmful_eval": "./hub/x/"}},
            r"must be another model",
        ),
        (
            {"sources.origins": {"harmful_eval": "models/harmful"}},
            r"origins\.harmful_eval .* than training's harmful, got models/harmful and models/har",
        ),
        (
            {"sources.origins": {"refusing_eval": "./data/../models//aligned"}},
            r"origins\.refusing_eval .* than training's aligned",
        ),
        (
            {"sources.origins": {"refusing": "models/harmful_eval"}},
            r"origins\.harmful_eval .* than training's refusing, got models/harmful_eval and",
        ),
        ({"prepare.sources": {}}, r"prepare\.sources"),
        ({"prepare.sources": {"gsm8k": None}}, r"prepare\.sources\.gsm8k takes a directory"),
        ({"prepare.sources": {"hear say": "x"}}, r"prepare\.sources"),
        (
            {"attack.benchmarks": ["math", "prefill", "math"]},
            r"attack\.benchmarks: takes each name once, got math more than once",
        ),
        ({"dynamics.benchmarks": ["math", "math"]}, r"dynamics\.benchmarks: takes each name once"),
        ({"matrix.variants": ["dapo", "recap", "dapo"]}, r"matrix\.variants: .*got dapo more"),
        ({"matrix.tables": ["prompts", "prompts"]}, r"matrix\.tables: .*got prompts more"),
        ({"matrix.seeds": [0, 1, 0]}, r"matrix\.seeds: takes each seed once, got 0 more than once"),
        ({"seed": -1}, r"seed: .*greater than or equal to 0, got -1"),
        ({"sampling.engine": "magic"}, r"sampling\.engine"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        read_params(write_params(tmp_path, change))


def _numbers(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Where the numbers of a section stand."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _numbers(inner, *path, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


@pytest.mark.parametrize(
    ("as_text", "shown"),
    [
        ("true", "True"),
        (None, "'{}'"),  # the number itself, quoted
        (".inf", "inf"),
        (".nan", "nan"),
    ],
)
def test_no_number_is_anything_else(tmp_path: Path, as_text: str | None, shown: str) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    del values["variants"]  # reported apart: its numbers are unknown to the file's own types
    del values["sweep"]  # typed elsewhere (recap/sweeps/section.py): no stage depends on it
    places = list(_numbers(values))
    assert len(places) > 80
    said = {}
    for path in places:
        place = values
        for key in path[:-1]:
            place = place[key]
        said[".".join(map(str, path))] = shown.format(place[path[-1]])
        place[path[-1]] = str(place[path[-1]]) if as_text is None else yaml.safe_load(as_text)
    values["variants"] = {"recap": {}}
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(ParameterError) as caught:
        read_params(file)
    lines = str(caught.value).splitlines()
    for key, what in said.items():
        found = [line for line in lines if line.startswith(f"  {key}: Input should be")]
        assert len(found) == 1 and found[0].endswith(f", got {what}"), (key, found)


@pytest.mark.parametrize("value", [True, "0.25", float("inf")])
def test_a_variants_numbers_are_as_strict(tmp_path: Path, value: object) -> None:
    with pytest.raises(ParameterError, match=r"variants\.recap\.grpo\.temperature: Input .*, got"):
        read_params(write_params(tmp_path, {"variants.recap": {"grpo": {"temperature": value}}}))


@pytest.mark.parametrize(
    ("written", "value"),
    [("3e-4", 3e-4), ("3E-4", 3e-4), ("3.0e-4", 3e-4), ("+3e-04", 3e-4), ("1", 1.0), ("1e2", 100)],
)
def test_a_number_may_be_written_with_an_exponent(
    tmp_path: Path, written: str, value: float
) -> None:
    text = (ROOT / "params.yaml").read_text()
    assert text.count("learning_rate: 3.0e-4") == 1
    file = tmp_path / "params.yaml"
    file.write_text(text.replace("learning_rate: 3.0e-4", f"learning_rate: {written}"))
    assert read_params(file).train.grpo.learning_rate == value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"matrix.models": ["policy"]},
            r"matrix\.models to name guardian and policy.*: guardian\.",
        ),
        ({"matrix.models": []}, r"missing: guardian, policy\."),
        (
            {"matrix.sources": ["harmful", "refusing", "aligned", "harmful_eval"]},
            r": refusing_eval\.",
        ),
        ({"matrix.tables": []}, r"matrix\.tables .*missing: prefills, prompts, verdicts\."),
        (
            {"gate.candidate": "aligned"},
            r"gate\.candidate among matrix\.variants \(base, .*'aligned'",
        ),
        ({"gate.baseline": "recap"}, r"Expected two variants in .*, got 'recap' twice"),
        (
            {"attack.benchmarks": ["harmful", "prefill", "hijack", "ipr", "benign", "math"]},
            r"gate\.checks\.1\.benchmark among attack\.benchmarks .*got 'jailbreak'",
        ),
        ({"matrix.variants": ["dapo", "recap"]}, r"gate\.checks\.8\.against among .*'base'"),
        (
            {
                "prepare.sources": {"gsm8k": "d"},
                "models.origins": {"policy": "a", "guardian": "b"},
                "sources.origins": {"harmful": "c", "aligned": "d", "harmful_eval": "e"},
            },
            r"no microworld, got no sources\.origins\.refusing or sources\.origins\.refusing_eval",
        ),
        (
            {"prepare.sources": {"gsm8k": "d"}, "models.origins": {"policy": "a"}},
            r"got no models\.origins\.guardian, .* trained on the microworld's few hundred words",
        ),
        ({"gate.seed": 4}, r"gate\.seed among matrix\.seeds \(0\), got 4"),
        ({"matrix.seeds": [1, 2]}, r"gate\.seed among matrix\.seeds \(1 or 2\), got 0"),
    ],
)
def test_a_pipeline_that_could_not_end_is_refused_as_a_whole(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    params = read_params(write_params(tmp_path, change))  # enough for a stage by itself
    with pytest.raises(ParameterError, match=message):
        check_pipeline(params)


@pytest.mark.parametrize("path", [ROOT / "params.yaml", ROOT / "infra/profiles/paper.yaml"])
def test_the_projects_own_files_are_whole(path: Path) -> None:
    check_pipeline(read_params(path))


def test_a_link_to_trainings_source_is_no_other_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/refusing").mkdir(parents=True)
    (tmp_path / "other").symlink_to("models/refusing")
    with pytest.raises(ParameterError, match=r"refusing_eval .* got other and models/refusing"):
        read_params(write_params(tmp_path, {"sources.origins": {"refusing_eval": "other"}}))
    others = {"refusing": "hub/a", "refusing_eval": "hub/b", "harmful": "hub/a"}
    read_params(write_params(tmp_path, {"sources.origins": others}))


def test_a_variant_changes_only_what_it_names(tmp_path: Path) -> None:
    file = write_params(
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


def test_alpha_and_length_are_numbers_or_more(tmp_path: Path) -> None:
    shares = {"harmful": 0.5, "benign": 0.25}
    params = read_params(
        write_params(
            tmp_path,
            {
                "train.alpha": shares,
                "train.prefill_length": [20, 80],
                "variants.one": {"alpha": 0.75, "prefill_length": 7},
                "variants.other": {"alpha": {"benign": 0.0}, "prefill_length": [1, 2]},
            },
        )
    )
    assert params.train.alphas == shares
    assert params.train.prefill_lengths == (20, 80)
    assert params.train.model_dump(mode="json")["alpha"] == shares
    one, other = params.for_variant("one"), params.for_variant("other")
    assert (one.alphas, one.prefill_lengths) == ({"harmful": 0.75, "benign": 0.75}, (7, 7))
    assert one.model_dump(mode="json")["alpha"] == 0.75
    assert (other.alphas, other.prefill_lengths) == ({"harmful": 0.5, "benign": 0.0}, (1, 2))


def test_a_curriculum_may_leave_a_domain_alone(tmp_path: Path) -> None:
    shares = {"harmful": 0.25, "benign": 0.0}
    params = read_params(write_params(tmp_path, {"variants.curriculum.alpha": shares}))
    assert params.for_variant("curriculum").alphas == shares
    assert params.train.curriculum == "none" and params.train.turn_reward == 0.0


def test_derived_seeds_are_fixed_and_apart() -> None:
    assert derive_seed(0, "a", 1) == 886027111
    seeds = {derive_seed(seed, name) for seed in range(50) for name in ("a", "b")}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**31 for seed in seeds)
