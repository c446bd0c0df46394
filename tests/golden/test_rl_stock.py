"""Fed the same rollouts, our trainer takes the steps that TRL's own ``GRPOTrainer`` takes.

1. four updates of two optimizer steps each: losses, gradients (each tensor, before clipping) and
   their norms, step by step, for TRL's loss types ``dapo``, ``grpo`` and ``dr_grpo``
2. clip fractions and entropy as TRL logs them
3. the weights at the end
4. the sampler's log-probabilities are those that TRL recomputes (ours uses the sampler's)
5. given the same log-probabilities, the loss function gives TRL's loss, gradient and clip shares to
   the bit, with a KL term too
"""

from __future__ import annotations

import random

import pytest
import torch
from datasets import Dataset
from rl_cases import group, make_trainer, random_ids, train_section
from torch.nn.utils import parameters_to_vector
from transformers import TrainerCallback
from trl.trainer.grpo_config import GRPOConfig

from recap.params.seeds import derive_seed
from recap.rl.batch import to_batch
from recap.rl.grpo import grpo_config
from recap.rl.loss import policy_loss
from recap.rl.trainer import RecapTrainer
from recap.sampling.torch_sampler import TorchSampler
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding, RolloutGroup
from tests.rounding import adam_rounding, logprob_rounding, relative_gap
from tests.stock import GRPOTrainer
from tests.tiny import TOKENIZER, tiny_policy

pytestmark = pytest.mark.integration

UPDATES, GROUP = 4, 3
HOT = {"learning_rate": 4e-3, "temperature": 0.9}


class Recorder:
    """Samples our live policy with random rewards and keeps what it gave."""

    def __init__(self) -> None:
        self.policy = tiny_policy()
        self.sampler = TorchSampler(self.policy, [TOKENIZER.eos_token_id], 0, batch_size=12)
        self.updates: list[list[RolloutGroup]] = []

    def __call__(self, update: int) -> list[RolloutGroup]:
        rng = random.Random(update)
        prompts = [RenderedPrompt(tuple(random_ids(rng, length)), 0) for length in (4, 9, 6, 5)]
        samples = self.sampler.sample(
            prompts, Decoding(0.9, 1.0, 12), num_samples=GROUP, seed=update
        )
        groups = [
            group(
                number,
                prompt=prompt.token_ids,
                completions=[sample.token_ids for sample in members],
                logprobs=[sample.sampling_logprobs for sample in members],
                rewards=[rng.random() for _ in members],
            )
            for number, (prompt, members) in enumerate(zip(prompts, samples, strict=True))
        ]
        self.updates.append(groups)
        return groups


class StepLog(TrainerCallback):
    """What TRL logs at each optimizer step."""

    def __init__(self) -> None:
        self.lines: list[dict[str, float]] = []

    def on_log(self, args, state, control, logs=None, **_):
        if "grad_norm" in logs:
            self.lines.append(dict(logs))


def watch_gradients(
    trainer: GRPOTrainer | RecapTrainer, policy: torch.nn.Module
) -> list[dict[str, torch.Tensor]]:
    """The gradients of each optimizer step to come, as they are before clipping."""
    seen, clip = [], trainer.accelerator.clip_grad_norm_

    def spy(parameters, max_norm):
        seen.append({name: p.grad.clone() for name, p in policy.named_parameters()})
        return clip(parameters, max_norm)

    trainer.accelerator.clip_grad_norm_ = spy
    return seen


def stock_config(optimizer: str, tmp_path) -> GRPOConfig:
    """TRL's options, those of the loss in TRL's own words."""
    config = grpo_config(train_section(grpo=HOT), seed=7)
    config.output_dir = str(tmp_path)
    config.loss_type = optimizer
    config.scale_rewards = "none" if optimizer == "dr_grpo" else "group"
    config.epsilon_high = 0.28 if optimizer == "dapo" else None
    return config


def run_stock(
    updates: list[list[RolloutGroup]], optimizer: str, tmp_path
) -> tuple[GRPOTrainer, StepLog, list[dict[str, torch.Tensor]]]:
    remaining = list(enumerate(updates, start=1))
    rewards: list[float] = []

    def rollout_func(prompts, trainer):
        number, groups = remaining.pop(0)
        rollouts = [rollout for one in groups for rollout in one.rollouts]
        rewards[:] = [reward.value for one in groups for reward in one.rewards]
        assert len(prompts) == len(rollouts)
        torch.manual_seed(derive_seed(7, "shuffle", number))  # TRL shuffles right after
        return {
            "prompt_ids": [list(rollout.rendered.token_ids) for rollout in rollouts],
            "completion_ids": [list(rollout.sample.token_ids) for rollout in rollouts],
            "logprobs": None,
        }

    config = stock_config(optimizer, tmp_path)
    config.logging_strategy, config.logging_steps = "steps", 1
    log = StepLog()
    stock = GRPOTrainer(
        model=tiny_policy(),
        reward_funcs=lambda **_: list(rewards),
        args=config,
        train_dataset=Dataset.from_dict({"prompt": ["<bos>"] * 8}),
        processing_class=TOKENIZER,
        rollout_func=rollout_func,
        callbacks=[log],
    )
    gradients = watch_gradients(stock, stock.model)
    stock.train()
    return stock, log, gradients


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("optimizer", ["dapo", "grpo", "dr_grpo"])
def test_same_rollouts_same_steps(optimizer, tmp_path):
    recorder = Recorder()
    ours = make_trainer(recorder.policy, recorder, optimizer=optimizer, grpo=HOT)
    gradients = watch_gradients(ours, ours.policy)
    steps, optimise = [], ours.optimise
    ours.optimise = lambda batch: steps.append(optimise(batch)) or steps[-1]
    for update in range(1, UPDATES + 1):
        ours.update(update)
    stock, log, stock_gradients = run_stock(recorder.updates, optimizer, tmp_path)
    near = adam_rounding(stock.model, tokens=12 * 12)

    assert len(steps) == len(log.lines) == 2 * UPDATES
    for mine, theirs in zip(steps, log.lines, strict=True):
        assert mine.loss == pytest.approx(theirs["loss"], abs=near)
        assert mine.grad_norm == pytest.approx(theirs["grad_norm"], rel=near)
        one = 1 / mine.tokens  # a ratio may lie on the very edge of the trust region
        assert mine.clip_low == pytest.approx(theirs["clip_ratio/low_mean"], abs=one)
        assert mine.clip_high == pytest.approx(theirs["clip_ratio/high_mean"], abs=one)
        assert mine.entropy == pytest.approx(theirs["entropy"], rel=near)
    assert len(gradients) == len(stock_gradients) == 2 * UPDATES
    for mine, theirs in zip(gradients, stock_gradients, strict=True):
        assert mine.keys() == theirs.keys()
        for name, gradient in mine.items():
            assert relative_gap(gradient, theirs[name]) < near, name
    assert max(step.clip_low for step in steps) > 0.02
    assert max(step.clip_high for step in steps) > 0.02
    start = parameters_to_vector(tiny_policy().parameters())
    moved = [parameters_to_vector(one.parameters()) - start for one in (ours.policy, stock.model)]
    assert relative_gap(*moved) < near


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", ["dapo", "grpo", "dr_grpo"])
def test_the_loss_function_is_trls(optimizer, beta, tmp_path):
    """TRL's means over rows are ours where the normaliser is the number of these rows."""
    rows, width, tokens = 6, 12, 61
    torch.manual_seed(3)
    policy, sampling, reference = -5 * torch.rand(3, rows, width)
    sampling = policy + sampling / 5 + 0.5
    advantages = torch.randn(rows)
    mask = (torch.arange(width) < torch.tensor([[12], [1], [7], [12], [3], [9]])).long()
    config = stock_config(optimizer, tmp_path)
    stock = GRPOTrainer(
        model=tiny_policy(),
        reward_funcs=lambda **_: [],
        args=config,
        train_dataset=Dataset.from_dict({"prompt": ["<bos>"] * 8}),
        processing_class=TOKENIZER,
    )
    stock.beta = beta  # TRL loads no reference: the inputs have its log-probabilities
    stock.current_gradient_accumulation_steps = 1
    theirs = policy.clone().requires_grad_()
    stock._get_per_token_logps_and_entropies = lambda *_, **__: (
        theirs,
        torch.zeros(rows, width),
        None,
    )
    expected = stock._compute_loss(
        stock.model,
        {
            "prompt_ids": torch.ones(rows, 1, dtype=torch.long),
            "prompt_mask": torch.ones(rows, 1, dtype=torch.long),
            "completion_ids": mask,
            "completion_mask": mask,
            "advantages": advantages,
            "old_per_token_logps": sampling,
            "ref_per_token_logps": reference,
            "num_items_in_batch": torch.tensor(tokens),
        },
    )
    expected.backward()
    ours = policy.clone().requires_grad_()
    found = policy_loss(
        policy_logprobs=ours,
        sampling_logprobs=sampling,
        reference_logprobs=reference if beta else None,
        advantages=advantages,
        mask=mask,
        optimizer=optimizer,
        low=0.2,
        high=0.28 if optimizer == "dapo" else 0.2,
        beta=beta,
        longest=12,
        normaliser=tokens / 2 if optimizer == "dapo" else rows,
    )
    found.value.backward()
    assert found.value.item() == expected.item() != 0
    assert torch.equal(ours.grad, theirs.grad)
    logged = stock._metrics["train"]
    assert [found.clip_low] == logged["clip_ratio/low_mean"]
    assert [found.clip_high] == logged["clip_ratio/high_mean"]
    assert min(found.clip_low, found.clip_high) > 0.02


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_samplers_logprobs_are_the_trainers(temperature):
    policy = tiny_policy(3)
    rng = random.Random(0)
    prompts = [RenderedPrompt(tuple(random_ids(rng, n)), n // 2) for n in (3, 40, 11, 27)]
    decoding = Decoding(temperature, 1.0, 12)
    samples = TorchSampler(policy, [TOKENIZER.eos_token_id], 0, 12).sample(
        prompts, decoding, num_samples=GROUP, seed=5
    )
    groups = [
        group(
            number,
            prompt=prompt.token_ids,
            completions=[sample.token_ids for sample in members],
            logprobs=[sample.sampling_logprobs for sample in members],
            rewards=[0.0, 0.5, 1.0],
        )
        for number, (prompt, members) in enumerate(zip(prompts, samples, strict=True))
    ]
    trainer = make_trainer(policy, lambda _: groups, grpo={"temperature": temperature})
    batch = to_batch(groups, "batch_tokens", 0, full=len(groups))
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    width = batch["completion_ids"].shape[1]
    with torch.no_grad():
        ours, _ = trainer.token_logprobs(policy, batch)
        stock, _, _ = GRPOTrainer._get_per_token_logps_and_entropies(
            trainer, policy, ids, mask, width
        )
    optimised = batch["completion_mask"].bool()
    sampled = batch["sampling_logprobs"][optimised]
    near = logprob_rounding(policy, temperature)
    assert (sampled - ours[optimised]).abs().max() < near
    assert (stock[optimised] - ours[optimised]).abs().max() < near
