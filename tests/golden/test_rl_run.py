"""Whole runs of a tiny policy: it learns, it repeats itself bit for bit, and it cannot be killed.

1. the same inputs give the same weights and metrics
2. killed at any update, by SIGKILL or by an error, it continues and ends bit-equal
3. SIGTERM or Ctrl-C: the update is finished, saved, exit code 143 or 130
4. where prefills are the policy's own, its thoughts are part of the state; where a curriculum
   moves alpha and length, these are
5. every few updates the policy is kept as it then was, the same bytes whatever happened since
"""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from rl_cases import hopeless, make_trainer, train_section

from recap.models.weights import load_model, save_model
from recap.params.prefill import Prefilling
from recap.prefill.inject import Injection
from recap.render import Renderer
from recap.rl.checkpoint import CheckpointFolder
from recap.rl.collection import Collector
from recap.rl.metrics import Speed
from recap.rl.prompt_stream import PromptStream
from recap.rl.self_prefill import SelfPrefills
from recap.rl.trainer import RecapTrainer
from recap.rl.training import run_updates
from recap.sampling.torch_sampler import TorchSampler
from recap.types.prompts import PromptRecord
from recap.types.rollouts import Reward
from tests.tiny import TOKENIZER, short_prefills, tiny_policy

pytestmark = pytest.mark.integration

UPDATES, SAVE, SNAPSHOT = 6, 2, 2
WANTED = 40
"""The token that earns reward."""
ALL = Injection({"harmful": 1.0}, "exact", (1, 3), "words")
HALF = Injection({"harmful": 0.5, "benign": 0.5}, "exact", (3, 3), "words")
COINS = Injection({"harmful": 0.5, "benign": 0.5}, "bernoulli", (1, 4), "words")
RECORDS = [
    PromptRecord(
        id=f"{domain}-{n}", domain=domain, prompt="what is", target=None, source="s", split="train"
    )
    for domain in ("harmful", "math")
    for n in range(4)
]
PREFILLS = short_prefills(RECORDS)


class CountsWanted:
    """Reward: the share of wanted tokens, so that a random policy can climb."""

    def score(self, rollouts):
        return [
            Reward(rollout.sample.token_ids.count(WANTED) / len(rollout.sample.token_ids), "math")
            for rollout in rollouts
        ]


class SaysUnsafe:
    """A guardian to whom every answer is unsafe."""

    def p_yes(self, pairs):
        return [0.9 for _ in pairs]

    def rubric(self, pairs):
        return [0.0 for _ in pairs]


def trainer(tmp_path, own=False, base=None, **changes) -> RecapTrainer:
    """``own``: prefills are the policy's own thoughts, asked for before updates 1 and 4.

    ``base``: the model directory to start from.
    """
    changes |= {"prefill_source": "self", "self_prefill_updates": 3} if own else {}
    section = train_section(
        **{
            "max_refill_rounds": 1,
            "updates": 2 * UPDATES,  # the schedule's end, which no rate of 0 should hide
            **changes,
            "grpo": {
                "num_generations": 6,
                "learning_rate": 5e-3,
                "lr_scheduler_type": "linear",
                **changes.get("grpo", {}),
            },
        }
    )
    renderer = Renderer(TOKENIZER)
    stored = section.stored_precision
    policy = load_model(base, stored) if base else tiny_policy(seed=0 if own else 6)
    with torch.no_grad():  # a random policy that earns, and ends thoughts and answers, at times
        ends = [renderer.turn.close_id, renderer.turn.end_id] if own else []
        policy.lm_head.weight[[] if base else [*ends, WANTED]] *= 2
    injection = COINS if section.curriculum == "adaptive" else ALL if own else HALF
    stream = PromptStream(
        RECORDS,
        None if own else PREFILLS,
        injection=injection,
        renderer=renderer,
        seed=11,
    )
    sampler = TorchSampler(policy, renderer.turn.stop_ids, renderer.pad_id, batch_size=24)
    prefilling = Prefilling(
        temperature=1.0, top_p=1.0, max_tokens=60, attempts=8, guardian_threshold=0.5
    )
    thoughts = SelfPrefills(stream, sampler, renderer, SaysUnsafe(), section, prefilling, seed=14)
    collector = Collector(
        stream, sampler, CountsWanted(), renderer, section, 12, thoughts if own else None
    )
    return RecapTrainer(policy, TOKENIZER, collector, section, seed=13)


def run(tmp_path, name, one=None, updates=UPDATES):
    one = one or trainer(tmp_path)
    folder = CheckpointFolder(tmp_path / name, "recap-0", {"seed": "1"})
    live = tmp_path / name / "live.jsonl"
    metrics = run_updates(
        one, folder, live, updates=updates, save_updates=SAVE, snapshot_updates=SNAPSHOT
    )
    kept = {
        path.relative_to(folder.snapshots).as_posix(): path.read_bytes()
        for path in sorted(folder.snapshots.glob("update-*/**/*"))
        if path.is_file()
    }
    return [p.detach().clone() for p in one.policy.parameters()], metrics, live, kept


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return run(tmp_path_factory.mktemp("run"), "undisturbed")


def assert_same(one, other):
    assert all(torch.equal(a, b) for a, b in zip(one[0], other[0], strict=True))
    assert one[1] == other[1]
    assert one[3] == other[3]
    lines = [json.loads(line) for line in one[2].read_text().splitlines()]
    assert [line["update"] for line in lines] == list(range(1, len(lines) + 1))
    assert all(line.items() >= mine.items() for line, mine in zip(lines, one[1], strict=True))


def test_a_tokenizer_without_a_padding_token_trains_alike(tmp_path, undisturbed):
    """SmolLM2's and the Llamas' have none; what is padded is never read."""
    one = trainer(tmp_path)
    one._tokenizer = copy.deepcopy(TOKENIZER)
    one._tokenizer.pad_token = None
    found = run(tmp_path, "bare", one)
    assert all(torch.equal(a, b) for a, b in zip(found[0], undisturbed[0], strict=True))
    assert found[1] == undisturbed[1]


def test_it_learns(tmp_path):
    metrics = run(tmp_path, "learn", trainer(tmp_path, updates=50), updates=25)[1]
    first = sum(line["reward"] for line in metrics[:3]) / 3
    last = sum(line["reward"] for line in metrics[-3:]) / 3
    assert first < 0.1
    assert last > 5 * first
    assert max(line["clip_high"] or 0.0 for line in metrics) > 0
    prefilled = sum(line["share_prefilled"] for line in metrics) / len(metrics)
    assert 0.15 < prefilled < 0.35  # half of one of two equal domains


def test_the_same_inputs_give_the_same_bits(tmp_path, undisturbed):
    assert_same(run(tmp_path, "again"), undisturbed)


def test_snapshots_are_the_policies_of_shorter_runs(tmp_path, undisturbed):
    kept = undisturbed[3]
    assert {name.split("/")[0] for name in kept} == {"update-000002", "update-000004"}
    shorter = run(tmp_path, "shorter", updates=4)
    assert {name.split("/")[0] for name in shorter[3]} == {"update-000002"}
    (tmp_path / "again").mkdir()
    for name, content in kept.items():
        if name.startswith("update-000004/"):
            (tmp_path / "again" / Path(name).name).write_bytes(content)
    again = load_model(tmp_path / "again")
    assert all(torch.equal(a, b) for a, b in zip(shorter[0], again.parameters(), strict=True))


@pytest.mark.parametrize("update", [1, 2, 3, 4, 6])
def test_an_error_at_any_update_loses_nothing(tmp_path, undisturbed, update):
    broken = trainer(tmp_path)
    whole = broken.update

    def fail(number):
        if number == update:
            broken.policy.lm_head.weight.data.zero_()  # whatever stood there must not matter
            raise KeyboardInterrupt
        return whole(number)

    broken.update = fail
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "broken", broken)
    assert_same(run(tmp_path, "broken"), undisturbed)


@pytest.mark.parametrize("half_written", [False, True])
def test_a_snapshot_that_was_interrupted_is_made_again(tmp_path, undisturbed, half_written):
    broken = trainer(tmp_path)
    whole = broken.save

    def fail(directory):
        if directory.name == "update-000004":
            if half_written:
                (directory.parent / ".update-000004.x1").mkdir()
            raise KeyboardInterrupt
        whole(directory)

    broken.save = fail
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "broken", broken)
    assert_same(run(tmp_path, "broken"), undisturbed)


def test_a_killed_run_goes_on_with_its_carried_groups(tmp_path):
    grpo = {"num_generations": 4, "lr_scheduler_type": "constant"}
    changes = {"refill": "expected", "max_refill_rounds": 2, "grpo": grpo}
    whole = run(tmp_path, "whole", trainer(tmp_path, **changes))
    saved, after = whole[1][SAVE - 1], whole[1][SAVE]
    assert saved["groups_carried_out"] > 0  # what the state saved then has to hold
    assert after["groups_carried_in"] == saved["groups_carried_out"]
    batch = 4 - after["groups_missing"]  # how many groups are kept differs with the processor
    assert after["age"] == pytest.approx(after["groups_carried_in"] / batch)
    broken = trainer(tmp_path, **changes)
    update = broken.update

    def fail(number):
        if number == SAVE + 1:
            raise KeyboardInterrupt
        return update(number)

    broken.update = fail
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "broken", broken)
    assert_same(run(tmp_path, "broken", trainer(tmp_path, **changes)), whole)


def test_a_killed_run_with_a_kl_term_keeps_the_base_as_its_reference(tmp_path):
    base = tmp_path / "base"
    save_model(tiny_policy(), TOKENIZER, base)
    grpo = {"beta": 0.04, "num_generations": 4}
    made = trainer(tmp_path, base=base, grpo=grpo)
    whole = run(tmp_path, "whole", made)
    without = run(tmp_path, "without", trainer(tmp_path, base=base, grpo=grpo | {"beta": 0.0}))
    assert whole[1] != without[1]
    broken = trainer(tmp_path, base=base, grpo=grpo)
    update = broken.update

    def fail(number):
        if number == SAVE + 1:
            raise KeyboardInterrupt
        return update(number)

    broken.update = fail
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "broken", broken)
    resumed = trainer(tmp_path, base=base, grpo=grpo)
    assert_same(run(tmp_path, "broken", resumed), whole)
    start = load_model(base).state_dict()
    for one in (made, resumed):
        kept = one.reference.state_dict()
        assert kept.keys() == start.keys()
        assert all(torch.equal(kept[name], start[name]) for name in start)
        assert not torch.equal(one.policy.lm_head.weight, start["lm_head.weight"])


def test_sigkill_loses_nothing(tmp_path, undisturbed):
    live = tmp_path / "killed" / "live.jsonl"
    for lines in (1, 3, 4):
        child = multiprocessing.get_context("fork").Process(target=run, args=(tmp_path, "killed"))
        child.start()
        while child.is_alive() and not (live.exists() and live.read_text().count("\n") >= lines):
            time.sleep(0.002)
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    assert_same(run(tmp_path, "killed"), undisturbed)


@pytest.mark.parametrize(("number_of", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stop_finishes_the_update(tmp_path, undisturbed, number_of, code):
    before = signal.getsignal(signal.SIGINT)  # a shell's background job has none
    stopped = trainer(tmp_path)
    whole = stopped.update

    def interrupted(number):
        if number == 3:
            os.kill(os.getpid(), number_of)
        return whole(number)

    stopped.update = interrupted
    with pytest.raises(SystemExit) as exit_:
        run(tmp_path, "stopped", stopped)
    assert exit_.value.code == code
    assert signal.getsignal(signal.SIGINT) is before
    folder = CheckpointFolder(tmp_path / "stopped", "recap-0", {"seed": "1"})
    assert folder.load().update == 3
    assert_same(run(tmp_path, "stopped"), undisturbed)


def test_the_policys_own_thoughts_survive_a_kill(tmp_path):
    """The state after update 2 holds those of update 1, which update 3 still uses."""
    undisturbed = run(tmp_path, "whole", trainer(tmp_path, own=True))
    lines = undisturbed[1]
    assert [line["self_asked"] > 0 for line in lines] == [True, False, False, True, False, False]
    assert all(line["self_pool"] > 1 and line["self_given"] > 0 for line in lines)
    assert all(line["share_prefilled"] > 0 and line["groups_kept"] > 0 for line in lines)
    for update in (3, 5):
        broken = trainer(tmp_path, own=True)
        whole = broken.update

        def fail(number, whole=whole, update=update):
            if number == update:
                raise KeyboardInterrupt
            return whole(number)

        broken.update = fail
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "broken", broken)
        resumed = CheckpointFolder(tmp_path / "broken", "recap-0", {"seed": "1"}).load()
        assert len(resumed.self_prefills) == lines[update - 2]["self_pool"]
    assert_same(run(tmp_path, "broken", trainer(tmp_path, own=True)), undisturbed)


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    stopped = trainer(tmp_path)

    def interrupted(_):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("went on")

    stopped.update = interrupted
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "stopped", stopped)


def test_the_curriculum_survives_a_kill(tmp_path):
    changes = {
        "curriculum": "adaptive", "curriculum_step": 0.4, "alpha_mode": "bernoulli",
        "prefill_length": (1, 4), "tau": 0.05,
    }  # fmt: skip
    undisturbed = run(tmp_path, "whole", trainer(tmp_path, **changes))
    lines = undisturbed[1]
    assert len({line["alpha_harmful"] for line in lines}) > 2
    assert {line["alpha_benign"] for line in lines} == {0.5}  # no prompt of that domain
    for update in (3, 5):
        broken = trainer(tmp_path, **changes)
        whole = broken.update

        def fail(number, whole=whole, update=update):
            if number == update:
                raise KeyboardInterrupt
            return whole(number)

        broken.update = fail
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "broken", broken)
        resumed = CheckpointFolder(tmp_path / "broken", "recap-0", {"seed": "1"}).load()
        assert resumed.levels.items() <= lines[update - 1].items()
    assert_same(run(tmp_path, "broken", trainer(tmp_path, **changes)), undisturbed)


def test_a_run_with_nothing_left_to_learn_ends_early(tmp_path, capsys):
    one = make_trainer(tiny_policy(), lambda _: [])
    empty, _ = make_trainer(tiny_policy(), hopeless).update(1)

    one.update = lambda number: (
        {**empty, "update": number, "groups_kept": 0}, Speed(gemm_peak=None, total=1.0),
    )  # fmt: skip
    metrics = run(tmp_path, "empty", one, updates=30)[1]
    assert len(metrics) == 10
    assert "stopped after update 10" in capsys.readouterr().err
