"""Training with rollouts from vLLM (its CPU build): synced before use, or stopped by the canary.

The policy's output head shares its weights with the embedding, which is the case that
``reload_weights`` gets silently wrong on CPUs. Prompts are longer than the 128 tokens of a block of
the CPU's KV cache, so that stale keys and values would be found and used.

1. all rollouts of a round are one engine call; the first step of each update is on-policy
2. after an optimizer step the engine's log-probabilities are the policy's, at its temperature
3. an engine not synced, synced by reload_weights alone, or that keeps its prefix cache is refused
4. a canary that fails in mid-training leaves the states whole; the run goes on from them
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from recap.errors import SyncError
from recap.microworld.tokenizer import make_tokenizer
from recap.models.weights import save_model
from recap.params.prefill import Prefilling
from recap.params.train import Train
from recap.params.whole import read_params
from recap.rl import cell as cells
from recap.rl.cell import CellInputs
from recap.rl.checkpoint import CheckpointFolder
from recap.rl.trainer import RecapTrainer
from recap.sampling.policy_sampler import CANARY_PROMPTS, PolicySampler
from recap.sampling.vllm_sampler import VllmSampler
from recap.types.prompts import PromptRecord, RenderedPrompt
from recap.types.rollouts import Decoding, Reward
from tests.integration.needs_vllm import NEEDS_VLLM
from tests.tiny import vllm_policy

pytestmark = NEEDS_VLLM

ROOT = Path(__file__).parents[2]
TOKENIZER = make_tokenizer(256)
UPDATES, SAVE = 3, 2
PROMPTS, GENERATIONS = 16, 16
TEMPERATURE = 0.8
WANTED = 40
"""The token that earns reward."""


def untrained() -> LlamaForCausalLM:
    return vllm_policy(TOKENIZER, tie_word_embeddings=True).eval()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("vllm") / "policy"
    save_model(untrained(), TOKENIZER, directory)
    return directory


@pytest.fixture(scope="module")
def engine(model_dir):
    """The only engine of this module; every test leaves it to be synced by the next."""
    return VllmSampler(model_dir)


class CountsWanted:
    def score(self, rollouts):
        return [
            Reward(rollout.sample.token_ids.count(WANTED) / len(rollout.sample.token_ids), "math")
            for rollout in rollouts
        ]


@pytest.fixture(scope="module")
def cell(model_dir):
    changes = read_params(ROOT / "params.yaml").train.model_dump()
    changes |= {"engine": "vllm", "updates": UPDATES, "save_updates": SAVE}
    changes |= {"alpha": 0.0, "prefill_source": "none", "prompts_per_update": PROMPTS}
    changes |= {"max_refill_rounds": 1, "reward_epsilon": 1e-6, "tau": 2.0}
    changes["grpo"] |= {"num_generations": GENERATIONS, "max_completion_length": 12}
    changes["grpo"] |= {"learning_rate": 2e-3, "temperature": TEMPERATURE}
    records = [
        PromptRecord(
            id=f"math-{n}",
            domain="math",
            prompt=" ".join(["what is"] * 70 + ["7"] * n),
            target="7",
            source="s",
            split="train",
        )
        for n in range(24)
    ]
    train = Train.model_validate(changes)
    prefilling = Prefilling(
        temperature=1.0, top_p=1.0, max_tokens=8, attempts=1, guardian_threshold=0.5
    )
    return CellInputs("recap-0", train, 0, model_dir, model_dir, records, {}, prefilling)


@contextmanager
def world_of(engine):
    """Cells share the module's engine, and are paid for a token that a random policy can find."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "VllmSampler", lambda *_, **__: engine)
        patch.setattr(cells.Rewards, "of", lambda *_, **__: CountsWanted())
        yield patch


def run(cell, folder):
    """The weights and metrics that training leaves, as bytes."""
    out, metrics = folder / "out", folder / "metrics.jsonl"
    cells.train_cell(
        cell,
        out=out,
        metrics=metrics,
        snapshots=folder / "snapshots",
        scratch=folder / "scratch",
        trainer_of=cells.make_trainer,
    )
    return (out / "model.safetensors").read_bytes(), metrics.read_bytes()


@dataclass
class Watch:
    """What a run did: sequences of each engine call, each update's first max |ratio - 1|."""

    calls: list[int] = field(default_factory=list)
    off_policy: dict[int, float] = field(default_factory=dict)


@pytest.fixture(scope="module")
def undisturbed(cell, engine, tmp_path_factory):
    """The bytes of a whole run, and what was seen of it."""
    from vllm import LLM

    watch, generate, optimise = Watch(), LLM.generate, RecapTrainer.optimise

    def counted(llm, prompts, params, **options):
        watch.calls.append(sum(one.n for one in params))
        return generate(llm, prompts, params, **options)

    def watched(trainer, batch):
        if trainer._update not in watch.off_policy:
            with torch.no_grad():
                logprobs, _ = trainer.token_logprobs(trainer.policy, batch)
            off = (logprobs - batch["sampling_logprobs"]).exp() - 1
            watch.off_policy[trainer._update] = (off * batch["completion_mask"]).abs().max().item()
        return optimise(trainer, batch)

    with world_of(engine) as patch:
        patch.setattr(LLM, "generate", counted)
        patch.setattr(RecapTrainer, "optimise", watched)
        return run(cell, tmp_path_factory.mktemp("undisturbed")), watch


def test_a_round_is_one_engine_call_after_its_canary(undisturbed):
    (_, metrics), watch = undisturbed
    lines = [json.loads(line) for line in metrics.splitlines()]
    rounds = sum(1 + line["refill_rounds"] for line in lines)
    assert watch.calls[0::2] == [CANARY_PROMPTS] * rounds
    assert watch.calls[1] == PROMPTS * GENERATIONS == 256
    assert sum(watch.calls[1::2]) == GENERATIONS * sum(line["groups_drawn"] for line in lines)


def test_the_first_step_of_each_update_is_on_policy(cell, model_dir, undisturbed):
    (weights, metrics), watch = undisturbed
    assert list(watch.off_policy) == list(range(1, UPDATES + 1))
    assert max(watch.off_policy.values()) < 1e-4
    lines = [json.loads(line) for line in metrics.splitlines()]
    assert [line["update"] for line in lines] == list(watch.off_policy)
    for line in lines:
        assert line["skipped_steps"] == 0
        assert line["groups_kept"] > 0
        assert 0 < line["grad_norm"] < float("inf")
    assert weights != (model_dir / "model.safetensors").read_bytes()
    assert cells.identity(cell)["vllm"].startswith("vllm")


PROMPT = RenderedPrompt(tuple(range(20, 160)), 0)
DECODING = Decoding(TEMPERATURE, 1.0, 12)


def logprobs(policy, token_ids):
    """By one plain forward over everything, at the temperature."""
    ids = torch.tensor([PROMPT.token_ids + token_ids])
    with torch.inference_mode():
        steps = (policy(input_ids=ids).logits[0] / TEMPERATURE).log_softmax(-1)
    first = len(PROMPT.token_ids) - 1
    return [steps[first + t, token].item() for t, token in enumerate(token_ids)]


@pytest.fixture
def stepped(engine):
    """A policy one optimizer step after the engine was synced with it, and its sampler."""
    policy = untrained()
    sampler = PolicySampler(policy, engine)
    sampler.sample([PROMPT], DECODING, num_samples=2, seed=1)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=3e-3)
    ids = torch.tensor([PROMPT.token_ids])
    policy(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    return policy, sampler


def test_after_a_step_the_engine_serves_the_new_weights(stepped):
    policy, sampler = stepped
    old = untrained()
    ((first, second),) = sampler.sample([PROMPT], DECODING, num_samples=2, seed=1)
    for sample in (first, second):
        assert sample.sampling_logprobs == pytest.approx(
            logprobs(policy, sample.token_ids), abs=1e-4
        )
        assert sample.sampling_logprobs != pytest.approx(logprobs(old, sample.token_ids), abs=1e-2)


def not_synced(engine, policy):
    return torch.float32


def reloaded_only(engine, policy):
    """What vLLM offers: the new weights are on disk, and it is told to reload them."""
    stepped = engine._model_dir.with_name("stepped")
    save_model(policy, TOKENIZER, stepped)
    engine._engine.collective_rpc("reload_weights", kwargs={"weights_path": str(stepped)})
    engine._engine.reset_prefix_cache()
    return torch.float32


def prefix_cache_kept(engine, policy):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(engine._engine), "reset_prefix_cache", lambda _: True)
        return SYNC(engine, policy)


SYNC = VllmSampler.sync


@pytest.mark.parametrize("wrong", [not_synced, reloaded_only, prefix_cache_kept])
def test_a_stale_engine_is_refused(engine, stepped, monkeypatch, wrong):
    _, sampler = stepped
    monkeypatch.setattr(VllmSampler, "sync", wrong)
    with pytest.raises(SyncError, match=r"Expected the engine to serve the weights .*, got 0\.\d"):
        sampler.sample([PROMPT], DECODING, num_samples=2, seed=1)
    monkeypatch.undo()
    sampler.sample([PROMPT], DECODING, num_samples=2, seed=1)  # a right sync mends it


def test_a_failed_canary_leaves_the_states_whole(engine, cell, undisturbed, tmp_path):
    update = RecapTrainer.update

    with world_of(engine) as patch:

        def failing(trainer, number):
            if number == UPDATES:
                patch.setattr(VllmSampler, "sync", not_synced)
            return update(trainer, number)

        patch.setattr(RecapTrainer, "update", failing)
        with pytest.raises(SyncError):
            run(cell, tmp_path)
    folder = CheckpointFolder(tmp_path / "scratch", cell.name, cells.identity(cell))
    assert folder.load().update == SAVE
    assert not (tmp_path / "out").exists()
    with world_of(engine):
        assert run(cell, tmp_path) == undisturbed[0]
