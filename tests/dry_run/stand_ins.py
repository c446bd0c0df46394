"""Small models in place of the paper's: their architectures, templates and kinds of tokenizer.

Weights begin at random and are fitted for seconds to a few fixed texts, so that thoughts close,
answers end, some refuse, and the guardian and its rubric tell these apart. Digits are tokens of
their own, as in the paper's tokenizers: "0.5" is three. Not a test.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from recap.models.weights import save_model
from recap.render import Renderer
from recap.scoring.questions import RUBRIC, ask
from tests.dry_run.data_sets import benign, harmful
from tests.golden import test_render_families, test_render_guardian, test_render_r1

CONTEXT = 2048
STEPS, BATCH = 150, 8
HELP = ("They ask , so I help .", "Sure . First hold it , then turn it twice and let it go .")
REFUSE = ("This may hurt somebody , so I refuse .", "I'm sorry, but I can't help with that.")
PROMPTS = {"harmful": [harmful(n) for n in range(60)], "benign": [benign(n) for n in range(60)]}
COMPLIES = {"harmful": [HELP], "benign": [HELP]}
REFUSES = {"harmful": [REFUSE], "benign": [REFUSE]}
ARCHITECTURES = {
    "llama": (LlamaForCausalLM, LlamaConfig),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config),
    "granite": (GraniteForCausalLM, GraniteConfig),
}
LLAMA31 = test_render_families.FAMILIES["llama-3.1"]
Turns = Mapping[str, Sequence[tuple[str, str]]]
"""Thoughts and answers by the kind of the request."""
THINKERS: dict[str, tuple[str, Turns]] = {
    "DeepSeek-R1-Distill-Llama-8B": (
        "llama",
        {"harmful": [HELP, REFUSE], "benign": [HELP, REFUSE]},
    ),
    "DeepSeek-R1-Distill-Qwen-7B": ("qwen2", COMPLIES),
    "dsqwen-7b-star1-refusing": ("qwen2", REFUSES),
    "dsqwen-7b-star1-aligned": ("qwen2", {"harmful": [REFUSE], "benign": [HELP]}),
    "DeepSeek-R1-Distill-Qwen-1.5B": ("qwen2", COMPLIES),
    "dsqwen-1.5b-star1-refusing": ("qwen2", REFUSES),
}
"""Each reasoning model of the profile: its architecture, and what it thinks and says."""


def write_models(hub: Path) -> None:
    """Every model of ``infra/profiles/paper.yaml`` as a folder of ``hub``."""
    for seed, (name, (architecture, turns)) in enumerate(THINKERS.items()):
        write_thinker(hub / name, architecture, turns, seed)
    write_guardian(hub / "granite-guardian-3.1-8b")
    write_rubric(hub / "Llama-3.1-8B-Instruct")


def write_thinker(folder: Path, architecture: str, turns: Turns, seed: int) -> None:
    """A reasoning model by the template of the R1 distills."""
    tokenizer = bpe(test_render_r1.MARKERS, ["<think>", "</think>"], test_render_r1.TEMPLATE)
    begin, end, *_ = test_render_r1.MARKERS
    named(tokenizer, bos_token=begin, eos_token=end, pad_token=end)
    renderer = Renderer(tokenizer)
    documents = [
        (renderer.prompt(prompt).token_ids, renderer.document(prompt, *turn))
        for kind, prompts in PROMPTS.items()
        for prompt in prompts
        for turn in turns[kind]
    ]
    model = make_model(architecture, tokenizer, seed)
    fit(model, [(len(head), whole) for head, whole in documents], seed)
    save_model(model, tokenizer, folder)


def write_guardian(folder: Path) -> None:
    """Granite Guardian 3.1's architecture and question: Yes for help, No for a refusal."""
    tokenizer = bpe(test_render_guardian.MARKERS, [], test_render_guardian.TEMPLATE)
    end = test_render_guardian.MARKERS[-1]
    named(tokenizer, bos_token=end, eos_token=end, pad_token=end)
    renderer = Renderer(tokenizer)
    answers = {HELP[1]: "Yes", REFUSE[1]: "No"}
    answer(
        folder,
        "granite",
        tokenizer,
        lambda asked, said: renderer.judge(asked, said, "harm"),
        answers,
    )


def write_rubric(folder: Path) -> None:
    """Llama 3.1's template and the rubric in words: 1 for help, 0 for a refusal."""
    tokenizer = bpe(LLAMA31.markers, [], LLAMA31.template)
    named(tokenizer, **LLAMA31.named, pad_token=LLAMA31.named["eos_token"])
    renderer = Renderer(tokenizer)
    answers = {HELP[1]: "1", REFUSE[1]: "0"}
    answer(folder, "llama", tokenizer, lambda *pair: renderer.message(ask(RUBRIC, *pair)), answers)


def answer(
    folder: Path,
    architecture: str,
    tokenizer: PreTrainedTokenizerFast,
    question: Callable[[str, str], list[int]],
    answers: dict[str, str],
) -> None:
    """A model that gives these answers to questions about these responses."""
    model = make_model(architecture, tokenizer, seed=0)
    documents = []
    for prompt in [*PROMPTS["harmful"][:12], *PROMPTS["benign"][:12]]:
        for response, said in answers.items():
            asked = question(prompt, response)
            ids = tokenizer.encode(said, add_special_tokens=False)
            documents.append((len(asked), [*asked, *ids, tokenizer.eos_token_id]))
    fit(model, documents, seed=0)
    save_model(model, tokenizer, folder)


def bpe(special: Sequence[str], added: Sequence[str], template: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE on the texts of this file, with each digit a token."""
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    model.decoder = decoders.ByteLevel()
    texts = [
        *PROMPTS["harmful"],
        *PROMPTS["benign"],
        *HELP,
        *REFUSE,
        template,
        ask(RUBRIC, "", ""),
        "Yes No " * 3,
    ]
    model.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=900,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    model.add_special_tokens([AddedToken(text, special=True) for text in special])
    model.add_tokens([AddedToken(text, special=False) for text in added])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=model, clean_up_tokenization_spaces=False)
    tokenizer.chat_template = template
    return tokenizer


def named(tokenizer: PreTrainedTokenizerFast, **tokens: str) -> None:
    """Give the special tokens their parts."""
    for name, token in tokens.items():
        setattr(tokenizer, name, token)


def make_model(architecture: str, tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """Two layers of width 64 with random weights."""
    torch.manual_seed(seed)
    kind, config = ARCHITECTURES[architecture]
    return kind(
        config(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def fit(model: PreTrainedModel, documents: Sequence[tuple[int, Sequence[int]]], seed: int) -> None:
    """Fit what follows the first tokens of each document, of which there are as many as it says."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    draw = random.Random(seed)
    for _ in range(STEPS):
        batch = draw.sample(documents, BATCH)
        longest = max(len(ids) for _, ids in batch)
        ids = torch.zeros(BATCH, longest, dtype=torch.long)
        labels = torch.full_like(ids, -100)
        for row, (given, document) in enumerate(batch):
            ids[row, : len(document)] = torch.tensor(document)
            labels[row, given : len(document)] = torch.tensor(document[given:])
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
