"""Training in bfloat16 against torch's own autocast: products are short, what is kept is not.

1. log-probabilities are those of a plain forward pass under autocast, and differ from float32's
2. weights, gradients and AdamW's moments are float32: a step too small for bfloat16 is kept
3. an adapter's base lies in bfloat16, the adapter in float32, and so does the merged sum
4. a killed run ends bit-equal; supervised training likewise
5. vLLM's canary takes this rounding for none of another policy
"""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest
import torch
from rl_cases import group, make_trainer
from test_adapter import LORA, interrupted
from test_rl_run import run, trainer
from test_sft import documents, plain_losses

from recap.errors import SyncError
from recap.models.adapter import merged_parameters, trained_parameters
from recap.models.weights import load_model, save_model
from recap.rl.batch import to_batch
from recap.rl.metrics import with_speed
from recap.sampling.policy_sampler import PolicySampler
from recap.sampling.torch_sampler import TorchSampler
from recap.sft.documents import DocumentStream
from recap.sft.trainer import SftTrainer
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding
from tests.tiny import TOKENIZER, tiny_policy

pytestmark = pytest.mark.integration

HALF = {"precision": "bfloat16"}
BF16_ERROR = 2**-8
"""The largest relative error of rounding to bfloat16, whose fraction has 8 bits."""


def one_group(number=1):
    return group(
        number,
        prompt=(4, 5, 6),
        completions=[(7, 8, 9), (9, 8), (5, 4, 7)],
        logprobs=[(-3.0, -3.0, -3.0), (-3.0, -3.0), (-3.0, -3.0, -3.0)],
        rewards=[0.0, 1.0, 0.5],
    )


def plain_logprobs(policy, prompt, completion):
    """Of a completion's tokens, by the model's own attention and head, under autocast."""
    ids = torch.tensor([[*prompt, *completion]])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = policy(ids).logits[0, len(prompt) - 1 : -1].float()
    return logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0]


def test_the_forward_pass_is_autocasts():
    half = make_trainer(tiny_policy(), lambda _: [], **HALF)
    whole = make_trainer(tiny_policy(), lambda _: [])
    batch = to_batch([one_group()], "batch_tokens", 0, full=1, scaled=True)
    with torch.no_grad():
        ours = half.token_logprobs(half._prepared, batch)[0]
        exact = whole.token_logprobs(whole._prepared, batch)[0]
    assert ours.dtype == torch.float32
    for row, completion in zip(ours, [(7, 8, 9), (9, 8), (5, 4, 7)], strict=True):
        expected = plain_logprobs(tiny_policy(), (4, 5, 6), completion)
        # Log-probabilities near -6 from logits of order 1, each rounded a few times.
        assert (row[: len(completion)] - expected).abs().max() < 4 * BF16_ERROR
    assert 0 < (ours - exact).abs().max() < 8 * BF16_ERROR


def test_what_is_kept_is_float32():
    start = dict(tiny_policy().named_parameters())
    one = make_trainer(
        tiny_policy(), lambda n: [one_group(n)], **HALF, grpo={"learning_rate": 1e-6}
    )
    dtypes = []
    one.policy.model.layers[0].mlp.down_proj.register_forward_hook(
        lambda *passed: dtypes.append(passed[2].dtype)
    )
    metrics, speed = one.update(1)
    assert set(dtypes) == {torch.bfloat16}
    shares = with_speed(metrics, speed)  # rollouts in float32 have no share of bfloat16's peak
    assert shares["gemm_share_generation"] is None and shares["gemm_share_training"] > 0
    moments = [v for s in one.optimizer.state.values() for v in s.values() if v.ndim]
    assert {value.dtype for value in moments} == {torch.float32}
    moved = lost = 0
    for name, parameter in one.policy.named_parameters():
        assert parameter.dtype == torch.float32
        changed = parameter != start[name]
        moved += int(changed.sum())
        lost += int((changed & (parameter.bfloat16() == start[name].bfloat16())).sum())
    assert moved > 1000
    assert lost > 0.95 * moved  # bfloat16 weights would not have moved


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precision") / "base"
    save_model(tiny_policy(seed=6), TOKENIZER, folder)
    return folder


def test_an_adapters_base_is_short_and_the_adapter_is_not(tmp_path, base):
    one = trainer(tmp_path, adapter=LORA, base=base, **HALF)
    frozen = [p for p in one.policy.parameters() if not p.requires_grad]
    assert {p.dtype for p in frozen} == {torch.bfloat16}
    assert {p.dtype for p in trained_parameters(one.policy).values()} == {torch.float32}
    run(tmp_path, "whole", one)
    layer = one.policy.model.layers[0].mlp.down_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    one.save(tmp_path / "out")
    saved = load_model(tmp_path / "out").get_parameter("model.layers.0.mlp.down_proj.weight")
    exact = load_model(base).get_parameter("model.layers.0.mlp.down_proj.weight")
    assert b.abs().max() > 0
    assert (saved - (exact.bfloat16().float() + 2.0 * b @ a)).abs().max() < 1e-6
    merged = dict(merged_parameters(one.policy))
    assert merged["model.layers.0.mlp.down_proj.weight"].dtype == torch.float32
    assert merged["model.norm.weight"].dtype == torch.bfloat16
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["dtype"] == "bfloat16"


@pytest.mark.parametrize(("lora", "beta"), [(None, 0.04), (LORA, 0.0)])
def test_a_killed_run_ends_bit_equal(tmp_path, base, lora, beta):
    def make_one():
        return trainer(tmp_path, adapter=lora, base=base, **HALF, grpo={"beta": beta})

    interrupted(tmp_path, run(tmp_path, "whole", make_one()), make_one, adapter=lora is not None)


class ExactEngine(TorchSampler):
    """An engine that serves the same weights in float32."""

    replicas = 1

    def sync(self, policy):
        return torch.float32


@pytest.mark.parametrize(("precision", "refused"), [("float32", True), ("bfloat16", False)])
def test_the_canary_allows_for_the_policys_rounding(precision: str, refused: bool):
    """Log-probabilities differ by bfloat16's rounding, which is more than float32's tolerance."""
    policy = make_trainer(tiny_policy(), lambda _: [], **HALF).policy
    sampler = PolicySampler(policy, ExactEngine(tiny_policy(), [1], 0, 8), precision)
    with pytest.raises(SyncError) if refused else nullcontext():
        sampler.sample([RenderedPrompt((4, 5, 6), 0)], Decoding(1.0, 1.0, 8), num_samples=2, seed=0)


def supervised(policy, precision):
    return SftTrainer(
        policy,
        TOKENIZER,
        DocumentStream(documents(), seed=1),
        updates=4,
        batch_tokens=50,
        learning_rate=1e-2,
        precision=precision,
    )


def test_supervised_losses_are_autocasts():
    policy = tiny_policy()
    metrics, _ = supervised(policy, "bfloat16").update(1)
    exact, _ = supervised(tiny_policy(), "float32").update(1)
    batch = DocumentStream(documents(), seed=1).take(50)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        losses = torch.cat([plain_losses(tiny_policy(), d).float() for d in batch])
    assert metrics["loss"] == pytest.approx(float(losses.mean()), abs=4 * BF16_ERROR)
    assert metrics["loss"] != exact["loss"]
    assert {p.dtype for p in policy.parameters()} == {torch.float32}
