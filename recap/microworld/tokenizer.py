"""The microworld's tokenizer: one token a word, saved as an ordinary Hugging Face tokenizer.

With a generation prompt, its chat template opens the thought (``<think>``). With a
``guardian_config``, it asks the guardian's question instead, as Granite Guardian's template does.
"""

from __future__ import annotations

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from recap.microworld import words

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ ' <user> ' if message.role == 'user' else ' <assistant> ' }}{{ message.content }}"
    "{% endfor %}"
    "{% if guardian_config is defined %} <guard> {{ guardian_config.risk_name }}"
    "{% elif add_generation_prompt %} <assistant> <think>{% endif %}"
)


def make_tokenizer(context: int) -> PreTrainedTokenizerFast:
    """The tokenizer of every microworld model; ``context`` is the models' length in tokens."""
    vocabulary = {token: index for index, token in enumerate(words.vocabulary())}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        pad_token="<pad>",
        additional_special_tokens=["<user>", "<assistant>", "<think>", "</think>", "<guard>"],
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
