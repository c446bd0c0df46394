"""LoRA adapters against arithmetic by hand, and through training, sampling and saving.

1. one optimizer step equals plain torch on W frozen, B A trained; base weights keep their bits
2. sampler, trainer and vLLM's engine all see W + (alpha / r) B A
3. the reference of a KL term is the base, without a copy
4. a state holds the adapter alone, and a killed run ends bit-equal, by RL and supervised
5. the result is the merged model, and base plus adapter is the same
6. checkpointing changes no gradient; a name that no layer has is refused
"""

from __future__ import annotations

import pytest
import torch
from rl_cases import group, make_trainer
from test_rl_run import SAVE, UPDATES, assert_same, run, trainer
from test_sft import make
from transformers import AutoModelForCausalLM

from recap.errors import ParameterError
from recap.models.adapter import (
    add_adapter,
    checkpoint_activations,
    merged_parameters,
    trained_parameters,
    without_adapter,
)
from recap.models.weights import load_model, save_model
from recap.params.train import Adapter
from recap.rl.batch import to_batch
from recap.rl.checkpoint import CheckpointFolder
from recap.sampling.llama_weights import is_plain_llama
from recap.sampling.torch_sampler import TorchSampler
from recap.sampling.vllm_sampler import VllmSampler
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding
from tests.tiny import TOKENIZER, tiny_policy

pytestmark = pytest.mark.integration

NAMES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LORA = {"rank": 4, "alpha": 8, "targets": NAMES}
PROMPTS = [RenderedPrompt((4, 5, 6), 0), RenderedPrompt((7, 8), 0)]


def adapted(*, moved=True, base=None):
    """A tiny policy with an adapter; ``moved``: one that changes its outputs."""
    policy = base or tiny_policy()
    add_adapter(policy, Adapter(**LORA), seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, p in trained_parameters(policy).items() if moved else ():
            if "lora_B" in name:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.2)
    return policy


def test_a_step_is_plain_torch_on_a_and_b():
    policy = adapted(moved=False)
    layer = policy.model.layers[0].mlp.down_proj
    weight = layer.base_layer.weight.detach().clone()
    a = layer.lora_A["default"].weight.detach().clone().requires_grad_()
    b = layer.lora_B["default"].weight.detach().clone().requires_grad_()
    x = torch.randn(5, 64)
    ours = torch.optim.AdamW(trained_parameters(layer).values(), lr=1e-2)
    plain = torch.optim.AdamW([a, b], lr=1e-2)
    for _ in range(2):  # B is 0 at first, and A's gradient with it
        layer(x).square().sum().backward()
        (x @ (weight + 2.0 * b @ a).T).square().sum().backward()
        for optimizer in (ours, plain):
            optimizer.step()
            optimizer.zero_grad()
    assert torch.equal(layer.base_layer.weight, weight)
    assert not torch.equal(b, torch.zeros_like(b))
    assert torch.allclose(layer.lora_A["default"].weight, a, atol=1e-6)
    assert torch.allclose(layer.lora_B["default"].weight, b, atol=1e-6)


def test_sampler_and_trainer_agree_on_the_merged_weights():
    policy = tiny_policy()
    one = make_trainer(policy, lambda _: [], adapter=LORA)
    with torch.no_grad():
        for name, p in trained_parameters(policy).items():
            if "lora_B" in name:
                p.normal_(0, 0.2)
    assert is_plain_llama(policy)
    samples = TorchSampler(policy, [1], 0, batch_size=8).sample(
        PROMPTS, Decoding(1.0, 1.0, 12), num_samples=3, seed=0
    )
    groups = [
        group(
            n,
            prompt=prompt.token_ids,
            completions=[s.token_ids for s in row],
            logprobs=[s.sampling_logprobs for s in row],
            rewards=[0.0, 1.0, 0.5],
        )
        for n, (prompt, row) in enumerate(zip(PROMPTS, samples, strict=True))
    ]
    batch = to_batch(groups, "batch_tokens", 0, full=2, scaled=True)
    own = one.token_logprobs(policy, batch)[0]
    gap = (own - batch["sampling_logprobs"]) * batch["completion_mask"]
    # Logits of the size of the largest log-probability, rounded in each of two layers.
    assert gap.abs().max() < 32 * torch.finfo(torch.float32).eps * own.abs().max()
    with without_adapter(policy):
        base = one.token_logprobs(policy, batch)[0]
    plain = make_trainer(tiny_policy(), lambda _: [])
    assert torch.equal(base, plain.token_logprobs(plain.policy, batch)[0])
    assert (base - own).abs().max() > 0.01


def test_vllm_is_given_merged_weights(monkeypatch):
    policy, given = adapted(), {}

    class Engine:
        class llm_engine:
            class model_config:
                dtype = torch.float32

        def collective_rpc(self, _, kwargs):
            given.update(kwargs["weights_iterator"])

        def apply_model(self, _):
            pass

        def reset_prefix_cache(self):
            return True

    sampler = object.__new__(VllmSampler)
    monkeypatch.setattr(VllmSampler, "_open", lambda *_: Engine())
    sampler.sync(policy)
    start = dict(tiny_policy().named_parameters())
    assert given.keys() == start.keys()
    layer = policy.model.layers[1].self_attn.q_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    name = "model.layers.1.self_attn.q_proj.weight"
    assert torch.allclose(given[name], start[name] + 2.0 * b @ a, atol=1e-6)


def interrupted(tmp_path, whole, make_one, adapter=True):
    """What a run comes to that is killed after its first state; the state's names."""
    broken = make_one()
    update = broken.update

    def fail(number):
        if number == SAVE + 1:
            raise KeyboardInterrupt
        return update(number)

    broken.update = fail
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "broken", broken)
    state = CheckpointFolder(tmp_path / "broken", "recap-0", {"seed": "1"}).load()
    assert state.model and all((".lora_" in name) is adapter for name in state.model)
    assert len(state.optimizer["state"]) == len(state.model)
    assert_same(run(tmp_path, "broken", make_one()), whole)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_killed_rl_run_with_a_kl_term_ends_bit_equal(tmp_path, checkpointing):
    grpo = {"beta": 0.04, "num_generations": 4}

    def make_one():
        return trainer(tmp_path, adapter=LORA, checkpointing=checkpointing, grpo=grpo)

    first = make_one()
    assert first.reference is None
    interrupted(tmp_path, run(tmp_path, "whole", first), make_one)
    start = dict(trainer(tmp_path).policy.named_parameters())
    for name, p in first.policy.named_parameters():
        if ".lora_" not in name:
            assert torch.equal(p, start[name.replace(".base_layer.", ".")])


def test_a_killed_supervised_run_ends_bit_equal(tmp_path):
    def make_one():
        return make(adapted(moved=False), updates=2 * UPDATES)

    interrupted(tmp_path, run(tmp_path, "whole", make_one()), make_one)


def test_the_result_is_the_merged_model_beside_its_adapter(tmp_path):
    from peft import PeftModel

    save_model(tiny_policy(), TOKENIZER, tmp_path / "base")
    policy = adapted(base=load_model(tmp_path / "base"))
    save_model(policy, TOKENIZER, tmp_path / "out")
    ids = torch.tensor([[4, 5, 6, 7, 8]])
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    both = PeftModel.from_pretrained(base, tmp_path / "out" / "adapter").eval()
    assert both.peft_config["default"].base_model_name_or_path == str(tmp_path / "base")
    merged = load_model(tmp_path / "out")
    assert merged.state_dict().keys() == load_model(tmp_path / "base").state_dict().keys()
    with torch.no_grad():
        expected = both(ids).logits
        assert (merged(ids).logits - expected).abs().max() < 1e-5
        assert (policy(ids).logits - expected).abs().max() < 1e-5
    for name, value in merged_parameters(both.base_model.model):
        assert (merged.get_parameter(name) - value).abs().max() < 1e-6


def test_checkpointing_changes_no_gradient():
    grads = []
    for saving in (False, True):
        policy = adapted()
        if saving:
            checkpoint_activations(policy)
        one = make(policy)
        one._optimizer.step = lambda: None
        one._optimizer.zero_grad = lambda: None
        one.update(1)
        grads.append([p.grad for p in trained_parameters(policy).values()])
    assert all(map(torch.equal, *grads))


def test_a_target_that_is_not_there_is_refused_with_the_names_that_are():
    lora = Adapter(rank=4, alpha=8, targets=("q_proj", "c_attn"))
    with pytest.raises(ParameterError, match=r"got c_attn\. The policy has down_proj, gate_proj"):
        add_adapter(tiny_policy(), lora, seed=1)


def test_the_parameters_trained_are_counted(capsys):
    policy = adapted()
    count = sum(p.numel() for p in trained_parameters(policy).values())
    assert f"trained_parameters {count} of" in capsys.readouterr().err
