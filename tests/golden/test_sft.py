"""Supervised training against plain torch, and the stage on tiny models, killed and resumed.

1. losses, gradient norms and weights equal an unpacked loop that knows none of our code
2. micro-batches change nothing
3. a cell of each kind is a whole model directory, repeats itself, and has no number of RL
4. killed or terminated, it continues and ends bit-equal
5. what cannot be trained on is refused
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from rl_cases import random_ids
from rl_stage_project import contents, make_stage_project, run
from torch.nn.utils import parameters_to_vector
from transformers import AutoModelForCausalLM

from recap.errors import DataError, ParameterError, TrainingError
from recap.render import Renderer
from recap.rows import write_rows
from recap.sft import trainer as module
from recap.sft.documents import Document, DocumentStream
from recap.sft.trainer import SftTrainer
from tests.rounding import adam_rounding, relative_gap
from tests.tiny import TOKENIZER, prefills, records, tiny_policy
from tests.waiting import until

pytestmark = pytest.mark.integration

KINDS = {"sft_plain": "plain", "sft_star": "deliberative", "sft_safechain": "safechain"}
KEYS = [
    "update", "epoch", "learning_rate", "documents", "tokens", "optimised_tokens",
    "skipped_steps", "loss", "grad_norm", "loss_harmful", "loss_benign", "loss_math",
]  # fmt: skip


def documents():
    rng = random.Random(3)
    return [
        Document(domain, tuple(random_ids(rng, rng.randint(2, 9))), tuple(random_ids(rng, length)))
        for domain, length in zip(
            ("harmful", "benign", "harmful", "math", "math", "benign", "harmful"),
            (1, 14, 5, 3, 9, 2, 7),
            strict=True,
        )
    ]


def make(policy, updates=4, rate=1e-2):
    stream = DocumentStream(documents(), seed=1)
    return SftTrainer(
        policy, TOKENIZER, stream, updates=updates, batch_tokens=50, learning_rate=rate
    )


def plain_losses(policy, document):
    """Cross-entropy of each answer token: one document alone, the model's own attention."""
    ids = torch.tensor([[*document.prompt_ids, *document.answer_ids]])
    logits = policy(ids).logits[0, len(document.prompt_ids) - 1 : -1]
    return F.cross_entropy(logits, torch.tensor(document.answer_ids), reduction="none")


@pytest.mark.parametrize("micro_batch", [2048, 20, 1])
def test_it_is_plain_next_token_training(monkeypatch, micro_batch):
    monkeypatch.setattr(module, "MICRO_BATCH_TOKENS", micro_batch)
    ours, policy = make(tiny_policy()), tiny_policy()
    batches, stream = [], DocumentStream(documents(), seed=1)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-2, weight_decay=0.0)
    start = parameters_to_vector(policy.parameters()).detach()
    near = adam_rounding(policy, tokens=50)
    # Five per cent of four updates is one: the peak first, then down in four equal steps.
    for number, rate in enumerate([1e-2, 7.5e-3, 5e-3, 2.5e-3], start=1):
        batches.append(stream.take(50))
        losses = [plain_losses(policy, document) for document in batches[-1]]
        loss = torch.cat(losses).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
        metrics, _ = ours.update(number)
        assert list(metrics) == KEYS
        assert metrics["learning_rate"] == pytest.approx(rate)
        assert metrics["loss"] == pytest.approx(float(loss.detach()), rel=near)
        assert metrics["grad_norm"] == pytest.approx(float(norm), rel=near)
        assert metrics["optimised_tokens"] == sum(len(row) for row in losses)
        for domain in ("harmful", "benign", "math"):
            own = [row for row, d in zip(losses, batches[-1], strict=True) if d.domain == domain]
            mean = metrics[f"loss_{domain}"]
            if own:
                assert mean == pytest.approx(float(torch.cat(own).mean().detach()), rel=near)
            else:
                assert mean is None
    assert len(batches[0]) > 2 and len({len(b) for b in batches}) > 1
    moved = [parameters_to_vector(one.parameters()) - start for one in (ours.policy, policy)]
    assert relative_gap(*moved) < near
    assert ours.policy.config._attn_implementation == policy.config._attn_implementation


def test_steps_that_are_not_finite_are_skipped_and_end_the_run():
    policy = tiny_policy()
    with torch.no_grad():
        policy.model.norm.weight[0] = float("inf")
    before = [p.detach().clone() for p in policy.parameters()]
    one = make(policy, updates=9)
    for number in range(1, 5):
        metrics, _ = one.update(number)
        assert (metrics["skipped_steps"], metrics["loss"], metrics["grad_norm"]) == (1, None, None)
    assert all(map(torch.equal, before, policy.parameters()))
    with pytest.raises(TrainingError, match=r"got 5 steps in a row .*update 5.*train\.sft"):
        one.update(5)


@pytest.fixture
def cell(tmp_path, monkeypatch):
    """The stage's folder with thoughts that deliberate and a policy that knows its one sum."""
    monkeypatch.chdir(tmp_path)
    make_stage_project(tmp_path)
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["train"]["sft"] |= {"batch_tokens": 60, "attempts": 4}
    for variant in KINDS:
        params["variants"][variant]["updates"] = 6
    Path("params.yaml").write_text(yaml.safe_dump(params))
    deliberating = [
        row.model_copy(update={"text": "the bolba is dangerous . i should refuse ."})
        for row in prefills("aligned")
    ]
    write_rows(Path("data/prefills/aligned.jsonl"), deliberating)
    policy = AutoModelForCausalLM.from_pretrained("models/policy")
    renderer = Renderer.from_dir(Path("models/policy"))
    ids = torch.tensor([renderer.document("what is 7 plus 5 ?", "", "the answer is 12 .")])
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-2)
    for _ in range(40):
        policy(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    policy.save_pretrained("models/policy")
    return tmp_path


def outputs(variant):
    return contents(f"models/trained/{variant}-0"), Path(
        f"results/train/{variant}-0.jsonl"
    ).read_bytes()


def test_a_cell_of_each_kind_is_a_whole_model_and_repeats_itself(cell, capfd):
    made = {}
    for variant in KINDS:
        run(variant)
        assert "training on 3 benign, 3 harmful, 3 math traces" in capfd.readouterr().err
        files, metrics = made[variant] = outputs(variant)
        assert files.keys() == contents("models/policy").keys()
        assert files["config.json"] == contents("models/policy")["config.json"]
        lines = [json.loads(line) for line in metrics.splitlines()]
        assert [list(line) for line in lines] == [KEYS] * 6
        assert lines[-1]["loss"] < lines[0]["loss"]
        assert not list(Path(".recap/train").glob(f"{variant}-0-*"))
        live = Path(f".recap/train/{variant}-0.live.jsonl").read_text().splitlines()
        assert all(json.loads(line)["tokens_per_second"] > 0 for line in live)
    weights = {files["model.safetensors"] for files, _ in made.values()}
    assert len(weights) == len(KINDS)
    shutil.rmtree("models/trained")
    run("sft_star")
    assert outputs("sft_star") == made["sft_star"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_cell_ends_as_if_nothing_had_been(cell, number):
    run("sft_safechain")
    undisturbed = outputs("sft_safechain")
    shutil.rmtree("models/trained")
    shutil.rmtree(".recap")
    live = Path(".recap/train/sft_safechain-0.live.jsonl")
    for wanted in (1, 3):
        inner, outer = os.pipe()
        child = multiprocessing.get_context("fork").Process(target=held_run, args=(wanted, inner))
        child.start()
        assert until(lambda n=wanted: lines(live) >= n, unless=lambda c=child: not c.is_alive())
        os.kill(child.pid, number)
        os.write(outer, b"on")
        child.join()
        os.close(inner)
        os.close(outer)
        assert child.exitcode == (-signal.SIGKILL if number == signal.SIGKILL else 143)
        assert not list(Path("models").glob("trained/*"))
    run("sft_safechain")
    assert outputs("sft_safechain") == undisturbed
    updates = [json.loads(line)["update"] for line in live.read_text().splitlines()]
    assert updates == [1, 2, 3, 4, 5, 6]


def lines(path):
    return path.read_text().count("\n") if path.exists() else 0


def held_run(updates, pipe):
    """Waits in the update after these for what comes through the pipe."""
    update = SftTrainer.update

    def held(self, number):
        if number == updates + 1:
            os.read(pipe, 1)
        return update(self, number)

    SftTrainer.update = held
    run("sft_safechain")


def test_thoughts_without_deliberation_cannot_be_trained_on(cell):
    write_rows(Path("data/prefills/aligned.jsonl"), prefills("aligned"))
    with pytest.raises(DataError, match="traces for 3 harmful prompts, got none"):
        run("sft_plain")


def test_sums_that_nobody_solved_cannot_be_trained_on(cell):
    unsolvable = [
        row.model_copy(update={"target": "13"}) if row.domain == "math" else row
        for row in records()
    ]
    write_rows(Path("data/prompts/train.jsonl"), unsolvable)
    with pytest.raises(DataError, match=r"3 math prompts, got none.*train\.sft\.attempts"):
        run("sft_star")


def test_evaluation_sources_are_refused(cell):
    rows = [row.model_copy(update={"source_model": "refusing_eval"}) for row in prefills("aligned")]
    write_rows(Path("data/prefills/aligned.jsonl"), rows)
    with pytest.raises(ParameterError, match="kept for evaluation"):
        run("sft_star")
