"""What the policy sees under each attack, round by round, token for token.

1. Direct is the clean prompt; the prefill attack adds its first words; the hijack a whole thought.
2. IPR: x, then y_pre, y_gen_j without ``</think>``, y_tran for each earlier round, then y_pre.
3. IPR with k = 1 is the prefill attack.
4. Every sample is a conversation of its own; one sampler call serves a step of a block.
5. An overflowed context stays in the files as such, round after round.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from recap.attacks.conversations import BLOCK, run_attacks
from recap.benchmarks.declared import BENCHMARKS, decoding
from recap.microworld.tokenizer import make_tokenizer
from recap.params.attack import OwnDecoding
from recap.params.seeds import derive_seed
from recap.render import Renderer
from recap.types.rollouts import Decoding
from tests.unit.attack_cases import (
    CUT,
    HEAD,
    REFUSE,
    SETTINGS,
    THOUGHT,
    TRANSITION,
    ScriptedSampler,
    run,
    selection_of,
)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(make_tokenizer(context=512))


@pytest.mark.parametrize(
    ("name", "context", "num_prefill_tokens"),
    [
        ("harmful", HEAD, 0),
        ("prefill", f"{HEAD} {CUT}", 7),
        ("hijack", f"{HEAD} {THOUGHT} </think>", 18),
        ("ipr", f"{HEAD} {CUT}", 7),
    ],
)
def test_opening(renderer: Renderer, name: str, context: str, num_prefill_tokens: int) -> None:
    settings = SETTINGS.model_copy(update={"ipr_rounds": 1})
    completions, sampler = run(renderer, [name], [[REFUSE]], settings)
    assert sampler.calls[0][0] == [context]
    assert completions[0].num_prefill_tokens == num_prefill_tokens


def test_a_short_thought_is_not_stretched(renderer: Renderer) -> None:
    settings = SETTINGS.model_copy(update={"prefill_words": 500})
    completions, _ = run(renderer, ["prefill"], [[REFUSE]], settings)
    assert completions[0].num_prefill_tokens == 17


def test_resets_stack_thoughts_and_drop_responses(renderer: Renderer) -> None:
    completions, sampler = run(
        renderer,
        ["ipr"],
        [
            ["i must say no . </think> sorry . <eos>"],
            ["it is fine </think> sure . <eos>"],
            ["i should refuse . </think> i can not answer this . <eos>"],
        ],
    )
    assert [contexts for contexts, *_ in sampler.calls] == [
        [f"{HEAD} {CUT}"],
        [f"{HEAD} {CUT} i must say no . {TRANSITION} {CUT}"],
        [f"{HEAD} {CUT} i must say no . {TRANSITION} {CUT} it is fine {TRANSITION} {CUT}"],
    ]
    assert [(row.place, row.cot, row.response) for row in completions] == [
        (1, "i must say no .", "sorry ."),
        (2, "it is fine", "sure ."),
        (3, "i should refuse .", "i can not answer this ."),
    ]
    assert [row.num_prefill_tokens for row in completions] == [7, 26, 43]
    assert {row.prefill for row in completions} == {CUT}


def test_an_unclosed_thought_is_carried_whole(renderer: Renderer) -> None:
    _, sampler = run(renderer, ["ipr"], [["nobody will be hurt " * 3], [REFUSE], [REFUSE]])
    unclosed = " ".join(["nobody will be hurt"] * 3)
    assert sampler.calls[1][0] == [f"{HEAD} {CUT} {unclosed} {TRANSITION} {CUT}"]


def test_a_reset_in_token_ids(renderer: Renderer) -> None:
    """K = 3 by hand on ids, the second thought never closed: nothing is decoded on the way."""
    encode = renderer.tokenizer.encode
    x, pre, tran = (encode(text, add_special_tokens=False) for text in (HEAD, CUT, TRANSITION))
    closed, unclosed = "i must say no . </think> sorry . <eos>", "it is fine " * 4
    first, second = (
        encode(text, add_special_tokens=False) for text in ("i must say no .", unclosed)
    )
    seen: list[tuple[int, ...]] = []

    class Remembering(ScriptedSampler):
        def sample(self, prompts, decoding, **options):  # type: ignore[no-untyped-def]
            seen.extend(prompt.token_ids for prompt in prompts)
            return super().sample(prompts, decoding, **options)

    sampler = Remembering(renderer, [[closed], [unclosed], [REFUSE]])
    run_attacks([selection_of("ipr")], renderer, sampler, SETTINGS, seed=0)
    assert [list(ids) for ids in seen] == [
        [*x, *pre],
        [*x, *pre, *first, *tran, *pre],
        [*x, *pre, *first, *tran, *pre, *second, *tran, *pre],
    ]


def test_first_reset_round_is_the_prefill_attack(renderer: Renderer) -> None:
    _, sampler = run(renderer, ["prefill", "ipr"], [[REFUSE]] * 4)
    assert sampler.calls[0][0] == sampler.calls[1][0]


def test_one_call_per_step_with_the_same_seeds_for_every_policy(renderer: Renderer) -> None:
    names = ["harmful", "hijack", "ipr"]
    script = [[REFUSE] * 2, ["sorry . <eos>"] * 2, [REFUSE] * 2, [REFUSE] * 2, [REFUSE] * 2]
    completions, sampler = run(renderer, names, script, prompts=2)
    decoding = Decoding(temperature=0.7, top_p=0.9, max_tokens=12)
    assert [(len(contexts), how, n, seed) for contexts, how, n, seed in sampler.calls] == [
        (2, decoding, 1, derive_seed(5, "attack", "harmful/0", 1)),
        (2, decoding, 1, derive_seed(5, "attack", "hijack/0", 1)),
        (2, decoding, 1, derive_seed(5, "attack", "ipr/0", 1)),
        (2, decoding, 1, derive_seed(5, "attack", "ipr/0", 2)),
        (2, decoding, 1, derive_seed(5, "attack", "ipr/0", 3)),
    ]
    assert [(row.benchmark, row.place, row.prompt_id) for row in completions] == [
        ("harmful", 1, "p0"),
        ("harmful", 1, "p1"),
        ("hijack", 1, "p0"),
        ("hijack", 1, "p1"),
        ("ipr", 1, "p0"),
        ("ipr", 1, "p1"),
        ("ipr", 2, "p0"),
        ("ipr", 2, "p1"),
        ("ipr", 3, "p0"),
        ("ipr", 3, "p1"),
    ]
    _, alone = run(renderer, ["ipr"], script[2:], prompts=2)
    assert alone.calls == sampler.calls[2:]  # whatever else is measured


def test_blocks_bound_what_goes_together(renderer: Renderer) -> None:
    prompts = BLOCK + 3
    script = [[REFUSE] * BLOCK, [REFUSE] * 3]
    completions, sampler = run(renderer, ["prefill"], script, prompts=prompts)
    assert [len(contexts) for contexts, *_ in sampler.calls] == [BLOCK, 3]
    assert [row.prompt_id for row in completions] == [f"p{number}" for number in range(prompts)]
    grid = [[REFUSE] * BLOCK, [REFUSE] * BLOCK, [REFUSE] * BLOCK, [REFUSE] * 9]
    _, sampler = run(renderer, ["prefill_grid"], grid, prompts=prompts)
    assert [len(contexts) for contexts, *_ in sampler.calls] == [BLOCK, BLOCK, BLOCK, 9]


def test_each_sample_is_a_conversation(renderer: Renderer) -> None:
    settings = SETTINGS.model_copy(update={"samples": 2, "ipr_rounds": 2})
    completions, sampler = run(
        renderer,
        ["ipr"],
        [["it is fine </think> sure . <eos>", REFUSE], [REFUSE, REFUSE]],
        settings,
    )
    assert sampler.calls[0][0] == [f"{HEAD} {CUT}"] * 2
    assert sampler.calls[1][0] == [
        f"{HEAD} {CUT} it is fine {TRANSITION} {CUT}",
        f"{HEAD} {CUT} i must say no . {TRANSITION} {CUT}",
    ]
    assert [(row.place, row.sample) for row in completions] == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_a_benchmark_may_decode_in_its_own_way(renderer: Renderer) -> None:
    own = OwnDecoding(temperature=0.1, samples=2)
    settings = SETTINGS.model_copy(update={"decoding": {"prefill": own}, "ipr_rounds": 2})
    completions, sampler = run(
        renderer,
        ["harmful", "prefill", "ipr"],
        [[REFUSE], [REFUSE] * 2, [REFUSE], [REFUSE]],
        settings,
    )
    assert [(len(prompts), how) for prompts, how, *_ in sampler.calls] == [
        (1, Decoding(0.7, 0.9, 12)),
        (2, Decoding(0.1, 0.9, 12)),
        (1, Decoding(0.7, 0.9, 12)),
        (1, Decoding(0.7, 0.9, 12)),
    ]
    assert [(row.benchmark, row.place, row.sample) for row in completions] == [
        ("harmful", 1, 0),
        ("prefill", 1, 0),
        ("prefill", 1, 1),
        ("ipr", 1, 0),
        ("ipr", 2, 0),
    ]


def test_a_benchmark_declares_its_decoding_and_parameters_overrule_it() -> None:
    declared = replace(BENCHMARKS["math"], decoding=OwnDecoding(top_p=0.5, samples=4))
    assert decoding(SETTINGS, declared) == (Decoding(0.7, 0.5, 12), 4)
    own = {"math": OwnDecoding(samples=16, max_tokens=9)}
    settings = SETTINGS.model_copy(update={"decoding": own})
    assert decoding(settings, declared) == (Decoding(0.7, 0.5, 9), 16)


def test_a_hijacked_completion_is_all_response(renderer: Renderer) -> None:
    completions, _ = run(renderer, ["hijack"], [["sure . add some water <eos>"]])
    row = completions[0]
    assert (row.cot, row.response) == ("", "sure . add some water")
    assert (row.num_cot_tokens, row.num_response_tokens) == (0, 5)
    assert row.prefill == THOUGHT


@pytest.mark.parametrize(
    ("name", "text", "reason", "response"),
    [
        ("harmful", REFUSE, "stop", "sorry ."),
        ("harmful", "i must " * 6, "length", None),
        ("harmful", "i must say no . </think> sorry " + ". " * 5, "length", None),
        ("harmful", "i must say no .", "overflow", None),  # 5 of 12 tokens: the context was full
        ("harmful", "OVERFLOW", "overflow", None),
        ("hijack", "OVERFLOW", "overflow", None),
    ],
)
def test_endings(
    renderer: Renderer, name: str, text: str, reason: str, response: str | None
) -> None:
    completions, _ = run(renderer, [name], [[text]])
    assert (completions[0].finish_reason, completions[0].response) == (reason, response)


def test_an_overflow_is_carried_to_the_last_round(renderer: Renderer) -> None:
    completions, _ = run(renderer, ["ipr"], [[REFUSE], ["OVERFLOW"], ["OVERFLOW"]])
    assert [row.finish_reason for row in completions] == ["stop", "overflow", "overflow"]
    assert [(row.cot, row.num_cot_tokens, row.num_response_tokens) for row in completions[1:]] == [
        ("", 0, 0),
        ("", 0, 0),
    ]


@pytest.mark.parametrize(
    ("name", "script", "categories"),
    [
        ("harmful", [[REFUSE]], ["direct question"]),
        ("prefill", [[REFUSE]], ["family 0"]),
        ("hijack", [[REFUSE]], ["family 0"]),
        ("ipr", [[REFUSE]] * 3, ["family 0"] * 3),
        ("prefill_grid", [[REFUSE] * 3], ["family 0"] * 3),
        ("transfer", [[REFUSE] * 2], ["family 0", "family 1"]),
        ("self_prefill", [[REFUSE] * 3, [REFUSE]], ["direct question"]),
    ],
)
def test_a_completion_has_the_category_of_its_thought_or_else_of_its_prompt(
    renderer: Renderer, name: str, script: list[list[str]], categories: list[str]
) -> None:
    completions, _ = run(renderer, [name], script)
    assert [row.category for row in completions] == categories
