"""Token ids under the templates of the families that docs/templates.md lists, worked by hand.

Each template here is a short one of our own with the published one's behaviour: what stands before
the answer, who opens the thought, where BOS and date stand, which tokens end a turn.
1. A prompt is what ``apply_chat_template`` gives, then the open tag where the template leaves it to
   the model. No BOS is added and none is lost.
2. A prefill goes on in the open thought, line breaks and half words as they are.
3. A hijack closes the thought as the model would; a document ends the turn as the template does.
4. Each EOS id ends the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from transformers import PreTrainedTokenizerFast

from recap.params.models import THINK, Reasoning
from recap.render import Renderer
from recap.turn import THINKING, TODAY
from tests.golden.byte_tokenizer import by_hand, byte_tokenizer


@dataclass(frozen=True)
class Family:
    """``prompt``: the rendered question "hi?"; ``opening``: what of it we add."""

    markers: tuple[str, ...]
    template: str
    prompt: str
    closing: str
    end: str
    stops: tuple[str, ...]
    bos_in_prompt: int
    opening: str = ""
    added: tuple[str, ...] = ()
    reasoning: Reasoning = THINK
    named: dict[str, str] = field(default_factory=dict)

    @property
    def all_markers(self) -> tuple[str, ...]:
        return self.markers + self.added

    def ids(self, text: str) -> tuple[int, ...]:
        return by_hand(text, self.all_markers)

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        return byte_tokenizer(self.markers, self.template, added=self.added, **self.named)

    @property
    def renderer(self) -> Renderer:
        eos = [self.ids(stop)[0] for stop in self.stops]
        return Renderer(self.tokenizer, self.reasoning, eos)


R1 = (
    "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "<\uff5cUser\uff5c>",
    "<\uff5cAssistant\uff5c>",
)
CHATML_TURNS = r"""{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}
{%- if m.role == 'assistant' %}{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}
{{- '<|im_end|>\n' }}{%- endfor %}"""  # noqa: E501
TAGS = ("<think>", "</think>")

FAMILIES = {
    "deepseek-r1-distill": Family(
        markers=R1[:2],
        added=(*R1[2:], *TAGS),
        template=rf"""{{{{ bos_token }}}}{{% for m in messages %}}{{% if m.role == 'user' %}}
{{{{- '{R1[2]}' + m.content }}}}{{% else %}}{{{{ '{R1[3]}' + m.content + '{R1[1]}' }}}}{{% endif %}}
{{%- endfor %}}{{% if add_generation_prompt %}}{{{{ '{R1[3]}<think>\n' }}}}{{% endif %}}""",
        named={"bos_token": R1[0], "eos_token": R1[1], "pad_token": R1[1]},
        prompt=f"{R1[0]}{R1[2]}hi?{R1[3]}<think>\n",
        closing="\n</think>\n\n",
        end=R1[1],
        stops=(R1[1],),
        bos_in_prompt=1,
    ),
    "qwen3": Family(
        markers=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        added=TAGS,
        template=CHATML_TURNS
        + r"""{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}
{%- endif %}{% endif %}""",
        named={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        prompt="<|im_start|>user\nhi?<|im_end|>\n<|im_start|>assistant\n<think>\n",
        opening="<think>\n",
        closing="\n</think>\n\n",
        end="<|im_end|>",
        stops=("<|im_end|>", "<|endoftext|>"),
        bos_in_prompt=0,
    ),
    "qwq": Family(
        markers=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        added=TAGS,
        template=CHATML_TURNS
        + r"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}",
        named={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        prompt="<|im_start|>user\nhi?<|im_end|>\n<|im_start|>assistant\n<think>\n",
        closing="\n</think>\n\n",
        end="<|im_end|>",
        stops=("<|im_end|>", "<|endoftext|>"),
        bos_in_prompt=0,
    ),
    "llama-3.1": Family(
        markers=(
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eom_id|>",
            "<|eot_id|>",
        ),
        template=r"""{{ bos_token }}
{{- '<|start_header_id|>system<|end_header_id|>\n\nToday Date: ' + strftime_now('%d %b %Y') }}
{{- '\n\n<|eot_id|>' }}{% for m in messages %}
{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}
{%- endfor %}{% if add_generation_prompt %}
{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}""",
        named={"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        prompt="<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
        "Today Date: 18 Dec 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
        "hi?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n<think>",
        opening="<think>",
        closing="</think>",
        end="<|eot_id|>",
        stops=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
        bos_in_prompt=1,
    ),
    "chatml-smollm2": Family(
        markers=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        template=r"{% if messages[0].role != 'system' %}"
        r"{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
        + CHATML_TURNS
        + r"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        named={
            "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>",
            "pad_token": "<|im_end|>",
        },
        prompt="<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nhi?<|im_end|>\n"
        "<|im_start|>assistant\n<think>",
        opening="<think>",
        closing="</think>",
        end="<|im_end|>",
        stops=("<|im_end|>",),
        bos_in_prompt=3,
    ),
    "phi-4-reasoning": Family(
        markers=("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_sep|>", *TAGS),
        template=r"""{{ '<|im_start|>system<|im_sep|>First <think> {Thought} </think> {Answer}.' }}
{{- '<|im_end|>' }}{% for m in messages %}
{{- '<|im_start|>' + m.role + '<|im_sep|>' + m.content + '<|im_end|>' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}""",
        named={"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"},
        prompt="<|im_start|>system<|im_sep|>First <think> {Thought} </think> {Answer}.<|im_end|>"
        "<|im_start|>user<|im_sep|>hi?<|im_end|><|im_start|>assistant<|im_sep|><think>",
        opening="<think>",
        closing="</think>",
        end="<|im_end|>",
        stops=("<|im_end|>",),
        bos_in_prompt=0,
    ),
    "gemma-3": Family(
        markers=("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        added=("\n\n",),
        template=r"""{{ bos_token }}{% for m in messages %}
{{- '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}
{{- m.content | trim + '<end_of_turn>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}""",
        named={"bos_token": "<bos>", "eos_token": "<eos>"},
        prompt="<bos><start_of_turn>user\nhi?<end_of_turn>\n<start_of_turn>model\n<reasoning>",
        opening="<reasoning>",
        reasoning=Reasoning(open="<reasoning>", close="</reasoning>"),
        closing="</reasoning>",
        end="<end_of_turn>",
        stops=("<eos>", "<end_of_turn>"),
        bos_in_prompt=1,
    ),
    "gpt-oss": Family(
        markers=(
            "<|startoftext|>",
            "<|endoftext|>",
            "<|start|>",
            "<|end|>",
            "<|message|>",
            "<|channel|>",
            "<|return|>",
            "<|call|>",
        ),
        template=r"""{{ '<|start|>system<|message|>Current date: ' + strftime_now('%Y-%m-%d') }}
{{- '<|end|>' }}{% for m in messages %}{% if m.role == 'assistant' %}{% if m.thinking %}
{{- '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}{% endif %}
{{- '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|return|>' }}{% else %}
{{- '<|start|>user<|message|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}""",
        named={"bos_token": "<|startoftext|>", "eos_token": "<|return|>"},
        reasoning=Reasoning(
            open="<|channel|>analysis<|message|>",
            close="<|end|><|start|>assistant<|channel|>final<|message|>",
        ),
        prompt="<|start|>system<|message|>Current date: 2024-12-18<|end|><|start|>user<|message|>"
        "hi?<|end|><|start|>assistant<|channel|>analysis<|message|>",
        opening="<|channel|>analysis<|message|>",
        closing="<|end|><|start|>assistant<|channel|>final<|message|>",
        end="<|return|>",
        stops=("<|return|>", "<|endoftext|>", "<|call|>"),
        bos_in_prompt=0,
    ),
    "granite-3.3": Family(
        markers=("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>"),
        template=r"""{{ '<|start_of_role|>system<|end_of_role|>It is ' }}
{{- strftime_now('%B %d, %Y') }}
{%- if thinking %}{{ '. Use <think></think> first.' }}{% endif %}{{ '<|end_of_text|>\n' }}
{%- for m in messages %}
{{- '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content + '<|end_of_text|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}""",
        named={
            "bos_token": "<|end_of_text|>",
            "eos_token": "<|end_of_text|>",
            "pad_token": "<|end_of_text|>",
        },
        prompt="<|start_of_role|>system<|end_of_role|>It is December 18, 2024. Use <think></think> "
        "first.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>hi?<|end_of_text|>\n"
        "<|start_of_role|>assistant<|end_of_role|><think>",
        opening="<think>",
        closing="</think>",
        end="<|end_of_text|>",
        stops=("<|end_of_text|>",),
        bos_in_prompt=2,
    ),
}
EVERY = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
PREFILL = "Ok,\n\n- one\n- I sho"


@EVERY
def test_a_prompt_is_the_templates_with_the_thought_open(family: Family) -> None:
    rendered = family.renderer.prompt("hi?")
    assert rendered.token_ids == family.ids(family.prompt)
    assert rendered.num_prefill_tokens == 0
    own = family.tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi?"}],
        add_generation_prompt=True,
        return_dict=False,
        strftime_now=TODAY.strftime,
        **THINKING,
    )
    assert rendered.token_ids == (*own, *family.ids(family.opening))
    bos = family.tokenizer.bos_token_id
    assert rendered.token_ids.count(bos) == family.bos_in_prompt


@EVERY
def test_a_prefill_goes_on_in_the_open_thought(family: Family) -> None:
    rendered = family.renderer.prompt("hi?", PREFILL)
    assert rendered.token_ids == family.ids(family.prompt + PREFILL)
    assert rendered.num_prefill_tokens == len(family.ids(PREFILL))


@EVERY
def test_a_hijack_closes_the_thought(family: Family) -> None:
    rendered = family.renderer.hijack("hi?", "Ok")
    assert rendered.token_ids == family.ids(f"{family.prompt}Ok{family.closing}")


@EVERY
def test_a_document_ends_the_turn(family: Family) -> None:
    ids = family.renderer.document("hi?", "Ok", "No.")
    assert tuple(ids) == family.ids(f"{family.prompt}Ok{family.closing}No.{family.end}")


@EVERY
def test_what_is_generated_is_parted_at_the_tag_and_ended_by_each_eos(family: Family) -> None:
    renderer = family.renderer
    closed, cut = f"uld.{family.closing}No.\n\n1. Two", f"uld.{family.closing}No"
    for stop in family.stops:
        said = family.ids(closed + stop)
        assert renderer.split(said)[:2] == ("uld.", "No.\n\n1. Two")
        assert renderer.split(family.ids(f"uld.{stop}")) == ("uld.", None, 4, 0)
        again = renderer.reset(renderer.prompt("hi?", PREFILL), said, "Wait.", "Ok")
        kept = "uld." + ("\n" if family.closing.startswith("\n") else "")
        assert again.token_ids == family.ids(f"{family.prompt}{PREFILL}{kept} Wait. Ok")
    assert renderer.split(family.ids(cut))[:2] == ("uld.", None)


@EVERY
def test_no_control_token_of_the_family_passes_as_text(family: Family) -> None:
    text = {"\n\n"}
    controls = {*family.all_markers, family.reasoning.open, family.reasoning.close} - text
    assert controls <= set(family.renderer.markers)
    assert text.isdisjoint(family.renderer.markers)


MERGES = [
    (".", "<"),
    (".<", "/"),
    (">", "\u010a"),
    (">\u010a", "\u010a"),
    (".", "\u010a"),
    (".\u010a", "\u010a"),
]
DOT_CLOSE, CLOSE_LINES, DOT_LINES, EOS = 257, 259, 261, 263


def merging() -> Renderer:
    """A tag of several tokens, whose first and last may reach into thought and answer."""
    tokenizer = byte_tokenizer(
        ["<s>", "</s>"],
        "{{ bos_token }}{{ messages[0].content }}",
        merges=MERGES,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
    )
    return Renderer(tokenizer)


def test_a_tag_of_pieces_that_reach_beyond_it() -> None:
    renderer = merging()
    said = [*b"Ok", DOT_CLOSE, *b"think", CLOSE_LINES, *b"No.", EOS]
    assert renderer.split(said) == ("Ok.", "No.", 2, 3)
    first = renderer.prompt("hi?")
    again = renderer.reset(first, said, "Wait.", "So")
    assert again.token_ids == (*first.token_ids, *b"Ok. Wait. So")


def test_a_tag_that_is_one_token_may_be_said_in_pieces() -> None:
    family = FAMILIES["deepseek-r1-distill"]
    said = (*b"Ok\n</think>\n\nNo.", *family.ids("</think>Two" + family.end))
    assert family.renderer.split(said) == ("Ok", "No.</think>Two", 3, 9)


SOURCE = "One. Two.\n\n- three\n- four:\n\n```\nx = 1\n```"


@pytest.mark.parametrize(
    ("words", "short"),
    [
        (1, "One."),
        (2, "One. Two.\n\n"),  # one token with the point
        (4, "One. Two.\n\n- three"),
        (6, "One. Two.\n\n- three\n- four:"),
        (99, SOURCE),
    ],
)
def test_a_cut_is_a_beginning_of_the_sources_own_tokens(words: int, short: str) -> None:
    renderer = merging()
    whole = renderer.tokenizer.encode(SOURCE, add_special_tokens=False)
    assert whole[:10] == [*b"One. Two", DOT_LINES, ord("-")]
    text, num_words, num_tokens = renderer.cut(SOURCE, words)
    assert (text, num_words) == (short, len(short.split()))
    assert renderer.tokenizer.encode(text, add_special_tokens=False) == whole[:num_tokens]
