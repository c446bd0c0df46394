"""The race of the bench is a fair one: equal prompts, turns, counts; no clock decides.

1. the stock loop's groups are judged by our rule
2. both loops make the updates asked for, and meet the same prompts
3. a prompt that TRL would tokenise otherwise is refused
4. of an update's time the table accounts for all
"""

from __future__ import annotations

import pytest
from rl_cases import train_section

from recap.errors import DataError
from recap.models.weights import save_model
from recap.params.prefill import Prefilling
from recap.params.train import Train
from recap.render import Renderer
from recap.rl.cell import CellInputs
from recap.types.prompts import PrefilledPrompt, PromptRecord
from recap.types.rollouts import Reward
from tests.bench import training
from tests.tiny import TOKENIZER, short_prefills, tiny_policy

pytestmark = pytest.mark.integration

RECORDS = [
    PromptRecord(
        id=f"{domain}-{n}", domain=domain, prompt="what is", target="3", source="s", split="train"
    )
    for domain in ("harmful", "math")
    for n in range(6)
]
PREFILLS = short_prefills(RECORDS)


@pytest.fixture(scope="module")
def cell(tmp_path_factory) -> CellInputs:
    folder = tmp_path_factory.mktemp("bench")
    for seed, name in enumerate(("policy", "guardian")):
        save_model(tiny_policy(seed), TOKENIZER, folder / name)
    section = train_section(prompts_per_update=3, max_refill_rounds=1, grpo={"num_generations": 4})
    train = Train.model_validate(section)
    prefilling = Prefilling(
        temperature=1.0, top_p=1.0, max_tokens=8, attempts=1, guardian_threshold=0.5
    )
    return CellInputs(
        "tiny", train, 3, folder / "policy", folder / "guardian", RECORDS, PREFILLS, prefilling
    )


class Script:
    """A scorer that gives these values in turn."""

    def __init__(self, *values: float | None) -> None:
        self.values = list(values)
        self.seen: list[str] = []

    def score(self, rollouts):
        self.seen += [rollout.prompt.record.id for rollout in rollouts]
        taken = [self.values.pop(0) for _ in rollouts]
        return [Reward(value, "math") for value in taken]


def test_the_stock_loops_groups_are_judged_by_our_rule(cell):
    race = training.Race()
    rewards = training.StockRewards(cell, Renderer(TOKENIZER), race)
    rewards.prompts = [PrefilledPrompt(record, None) for record in RECORDS]
    #                  solved in part      failed              solved              unscored
    values = [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, None, None, None, 1.0]
    rewards._scorer = Script(*values)
    ids = [[11, 12, TOKENIZER.eos_token_id]] * 15 + [[11]]
    numbers = [7] * 4 + [8] * 4 + [0] * 4 + [3] * 4
    assert rewards(completion_ids=ids, number=numbers, prompts=None) == values
    assert rewards._scorer.seen[::4] == ["math-1", "math-2", "harmful-0", "harmful-3"]
    assert race.stock.drawn == [4]
    assert race.stock.informative == [1]
    assert race.stock.tokens == 46


@pytest.mark.filterwarnings("ignore")
def test_both_loops_make_the_same_updates_on_the_same_prompts(cell, tmp_path, monkeypatch):
    texts: list[str] = []
    met: list[str] = []
    scored = training.StockRewards.__call__

    def watched(self, completion_ids, number, prompts, **rest):
        texts.extend(prompts[::4])
        return scored(self, completion_ids, number, **rest)

    monkeypatch.setattr(training.StockRewards, "__call__", watched)
    collect = training.RecapTrainer.collect

    def listened(self):
        batch = collect(self)
        met.extend(
            TOKENIZER.decode(list(group.rollouts[0].rendered.token_ids))
            for group in self._collection.groups
        )
        return batch

    monkeypatch.setattr(training.RecapTrainer, "collect", listened)
    race = training.run_race(cell, 2, tmp_path)
    assert race.stock.drawn == [3, 3]
    assert [line["update"] for line in race.lines] == [1, 2]
    assert race.ours.drawn == [line["groups_drawn"] for line in race.lines]
    assert texts == met[:6]
    assert any("wait" in text for text in texts)
    assert len(set(texts)) == 2
    assert min(race.stock.seconds, race.ours.seconds) > 0


def test_a_prompt_that_cannot_be_read_back_is_refused(cell):
    renderer = Renderer(TOKENIZER)
    prompts = [PrefilledPrompt(RECORDS[0], None)]
    assert training.stock_prompts(renderer, prompts) == [
        TOKENIZER.decode(list(renderer.prompt("what is").token_ids))
    ]

    class Forgetful:
        decode = staticmethod(lambda ids: "what")
        apply_chat_template = TOKENIZER.apply_chat_template
        encode = TOKENIZER.encode
        bos_token_id = TOKENIZER.bos_token_id

        def __call__(self, text):
            return TOKENIZER(text)

    renderer.tokenizer = Forgetful()
    with pytest.raises(DataError, match="Expected the prompt harmful-0 to survive as text"):
        training.stock_prompts(renderer, prompts)


def test_the_split_accounts_for_all_of_the_time():
    line = {"seconds": 2.0, "gemm_share_generation": 0.2, "gemm_share_training": 0.1}
    line |= {f"seconds_{part}": 0.4 for part in ("generation", "scoring", "forward", "backward")}
    line["seconds_other"] = 0.4
    # As long again, all of it backward at half the share of the peak.
    other = dict.fromkeys(line, 0.0) | {"seconds": 2.0, "seconds_backward": 2.0}
    other["gemm_share_training"] = 0.05
    table, target = training.split_table([line, other])
    assert table.rows == [
        ["generation", "0.200", "10.0%", "20.0%"],
        ["scoring", "0.200", "10.0%", ""],
        ["forward", "0.200", "10.0%", "6.4%"],  # (0.8 * 0.1 + 2 * 0.05) / 2.8
        ["backward", "1.200", "60.0%", "6.4%"],
        ["other", "0.200", "10.0%", ""],
    ]
    assert target.measured == pytest.approx(0.1)
