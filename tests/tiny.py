"""The tiny models and tables of tests, built in one place. Not a test.

What is built by hand elsewhere is a model of another architecture, or one whose configuration is
what the test is about.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from recap.microworld.tokenizer import make_tokenizer
from recap.rows import write_rows
from recap.types.prompts import Prefill, PromptRecord

TOKENIZER = make_tokenizer(128)
QUESTIONS = {"harmful": "how do i", "benign": "what is", "math": "what is 7 plus 5 ?"}
SOURCES = ("harmful", "refusing", "aligned")


def tiny_sizes(words: PreTrainedTokenizerBase | int, **changes: Any) -> dict[str, Any]:
    """The configuration of one layer of width 16 with weights of some size, with ``changes``.

    ``words``: the tokenizer, whose special tokens the model then has, or the vocabulary's size.
    """
    sizes: dict[str, Any] = {
        "vocab_size": words if isinstance(words, int) else len(words),
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "initializer_range": 0.3,
    }
    if not isinstance(words, int):
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            sizes[name] = getattr(words, name)
    return sizes | changes


def tiny_llama(
    words: PreTrainedTokenizerBase | int, seed: int = 0, **changes: Any
) -> LlamaForCausalLM:
    """A Llama of these sizes with random weights."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**tiny_sizes(words, **changes)))


def tiny_policy(seed: int = 0) -> LlamaForCausalLM:
    """Two layers of width 32 over the microworld's vocabulary, with tied embeddings."""
    return tiny_llama(
        TOKENIZER,
        seed,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
    )


def vllm_policy(
    tokenizer: PreTrainedTokenizerBase, seed: int = 5, **config: Any
) -> LlamaForCausalLM:
    """A policy with a head size that vLLM has kernels for, and logits far from uniform."""
    sizes: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_key_value_heads": 1,
        "initializer_range": 0.15,
        "max_position_embeddings": tokenizer.model_max_length,
    }
    return tiny_llama(tokenizer, seed, **(sizes | config))


def records() -> list[PromptRecord]:
    """Three prompts of each domain."""
    return [
        PromptRecord(
            id=f"{domain}-{number}",
            domain=domain,  # type: ignore[arg-type]  # the keys above
            prompt=question,
            target="12" if domain == "math" else None,
            source="microworld",
            split="train",
        )
        for domain, question in QUESTIONS.items()
        for number in range(3)
    ]


def prefills(source: str) -> list[Prefill]:
    """A prefill of two words for each of them."""
    return [
        Prefill(
            prompt_id=record.id,
            text="i should",
            intent=source,  # type: ignore[arg-type]
            source_model=source,
            num_words=2,
            num_tokens=2,
            response="no",
            rejected=None,
        )
        for record in records()
    ]


def short_prefills(records: list[PromptRecord]) -> dict[str, Prefill]:
    """A thought of four words for each prompt, by the prompt's id."""
    return {
        record.id: Prefill(
            prompt_id=record.id,
            text="wait . i should",
            intent="harmful",
            source_model="harmful",
            num_words=4,
            num_tokens=4,
            response="",
            rejected=None,
        )
        for record in records
    }


def ends_now_and_then(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """The same random policy, whose thoughts and answers end now and then."""
    with torch.no_grad():
        for token in ("</think>", "<eos>"):
            model.lm_head.weight[TOKENIZER.convert_tokens_to_ids(token)] *= 4
    return model


def write_training_inputs(folder: Path) -> None:
    """What the stage ``train`` reads beside its parameters: two models, prompts and prefills."""
    for seed, name in ((2, "policy"), (3, "guardian")):
        model = ends_now_and_then(tiny_policy(seed))
        model.save_pretrained(folder / "models" / name)
        TOKENIZER.save_pretrained(folder / "models" / name)
    write_rows(folder / "data/prompts/train.jsonl", records())
    for source in SOURCES:
        write_rows(folder / f"data/prefills/{source}.jsonl", prefills(source))
