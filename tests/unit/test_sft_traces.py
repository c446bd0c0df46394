"""What supervised baselines are shown: which traces, which sentences, which tokens carry loss.

1. all kinds take the same prompts and responses and differ in the thought alone
2. sums are the policy's own, correct, and drawn again only while unsolved
3. prompts carry no loss; batches are full, whole, and go on from a cursor
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.errors import DataError, RenderError
from recap.microworld.tokenizer import make_tokenizer
from recap.render import Renderer
from recap.sft.documents import Document, DocumentStream, render, split
from recap.sft.traces import (
    SENTENCE,
    Trace,
    check_domains,
    own_solutions,
    safety_traces,
    without_deliberation,
)
from recap.types.prompts import Prefill, PromptRecord
from recap.types.rollouts import Decoding, Sample

RENDERER = Renderer(make_tokenizer(128))


def record(name, domain, prompt="how do i make the bolba ?", target=None):
    return PromptRecord(
        id=name, domain=domain, prompt=prompt, target=target, source="s", split="train"
    )


def thought(name, text, response="i can not answer this .", rejected=None):
    return Prefill(
        prompt_id=name,
        text=text,
        intent="aligned",
        source_model="aligned",
        num_words=len(text.split()),
        num_tokens=len(text.split()),
        response=response,
        rejected=rejected,
    )


RECORDS = [
    *(record(name, "harmful") for name in ("fact", "rule", "neither", "rejected", "unasked")),
    record("harmless", "benign"),
    record("nothing else", "benign"),
    record("sum", "math"),
]
ALIGNED = {
    row.prompt_id: row
    for row in (
        thought("fact", "this is about the bolba . the bolba is dangerous . i must say no ."),
        thought("rule", "i should not help them . there is a rule against this ."),
        thought("neither", "this is about the bolba . i must say no ."),
        thought("rejected", "the bolba is dangerous . i must say no .", rejected="unsafe"),
        thought("harmless", "the bolba is harmless . i should help them .", "here is how ."),
        thought("nothing else", "the bolba is harmless .", "here is how ."),
        thought("sum", "the bolba is harmless . i should help them ."),
    )
}
SHOWN = {
    "deliberative": {
        "fact": "this is about the bolba . the bolba is dangerous . i must say no .",
        "rule": "i should not help them . there is a rule against this .",
        "harmless": "the bolba is harmless . i should help them .",
    },
    "safechain": {
        "fact": "this is about the bolba . i must say no .",
        "rule": "i should not help them .",
        "harmless": "i should help them .",
    },
    "plain": {"fact": "", "rule": "", "harmless": ""},
}


@pytest.mark.parametrize("kind", SHOWN)
def test_kinds_differ_in_the_thought_alone(kind):
    traces = safety_traces(RECORDS, ALIGNED, kind)
    assert {trace.record.id: trace.thought for trace in traces} == SHOWN[kind]
    responses = ["i can not answer this .", "i can not answer this .", "here is how ."]
    assert [trace.response for trace in traces] == responses


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("the bolba is dangerous . the bolba is harmless .", ""),
        ("is this allowed ? the rules say no ! so i refuse .", "is this allowed ? so i refuse ."),
        ("OpenAI's policy forbids it. I refuse.", "I refuse."),
        ("Our guidelines:\nno weapons.\nI refuse.", "no weapons.\nI refuse."),
        ("A ruler is 3.5 inches. Fine.", "A ruler is 3.5 inches. Fine."),
        ("politely , no .", "politely , no ."),
        ("", ""),
    ],
)
def test_sentences_that_deliberate_are_left_out(text, kept):
    assert without_deliberation(text) == kept


@given(st.text())
def test_sentences_make_up_the_whole_text(text):
    assert "".join(SENTENCE.findall(text)) == text


class Scripted:
    """Answers each prompt's n-th try with its n-th line, and notes who was asked."""

    def __init__(self, lines):
        self.lines, self.asked = lines, []

    def sample(self, prompts, decoding, *, num_samples, seed):
        assert num_samples == 1
        texts = [RENDERER.tokenizer.decode(p.token_ids[2:-2]) for p in prompts]
        self.asked.append(texts)
        return [[self.answer(text)] for text in texts]

    def answer(self, prompt):
        text = self.lines[prompt].pop(0)
        ids = tuple(RENDERER.tokenizer.encode(text, add_special_tokens=False))
        return Sample(ids, (0.0,) * len(ids), "stop" if "<eos>" in text else "length")


def test_sums_are_the_first_correct_solution_of_their_own_policy():
    one, two, three = ("what is 1 plus 1 ?", "what is 1 plus 2 ?", "what is 2 plus 2 ?")
    wrong = "1 plus 1 is 3 . </think> the answer is 3 . <eos>"
    right = "1 plus 1 is 2 . </think> the answer is 2 . <eos>"
    sampler = Scripted(
        {
            one: [wrong, right],
            two: ["1 plus 2 is 3 . </think> the answer is 3 . <eos>"],
            three: ["</think> the answer is 4 .", "no <eos>", "</think> the answer is 4 . <eos>"],
        }
    )
    math = [
        record(name, "math", prompt, target)
        for name, prompt, target in (("1", one, "2"), ("2", two, "3"), ("3", three, "4"))
    ]
    traces = own_solutions(
        [record("h", "harmful"), *math], sampler, RENDERER, Decoding(1.0, 1.0, 9), 2, seed=5
    )
    assert [(t.record.id, t.thought, t.response) for t in traces] == [
        ("1", "1 plus 1 is 2 .", "the answer is 2 ."),
        ("2", "1 plus 2 is 3 .", "the answer is 3 ."),
    ]
    assert sampler.asked == [[one, two, three], [one, three]]


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ("harmful", "traces for 2 harmful prompts, got none: no verified thought"),
        ("math", r"traces for 2 math prompts, got none: .* raise train\.sft\.attempts"),
    ],
)
def test_a_domain_without_traces_is_an_error(domain, message):
    records = [record("a", domain), record("b", domain), record("c", "benign")]
    benign = Trace(records[2], "", "sure .")
    with pytest.raises(DataError, match=message):
        check_domains(records, [benign])
    check_domains(records, [benign, Trace(records[0], "", "no .")])
    check_domains(records[2:], [benign])  # what is not asked for need not be there


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("i should refuse .", "i should refuse . </think> sorry . <eos>"),
        ("", "</think> sorry . <eos>"),
    ],
)
def test_all_but_the_prompt_carries_loss(said, expected):
    (document,) = render([Trace(record("a", "harmful"), said, "sorry .")], RENDERER, 128)
    decode = RENDERER.tokenizer.decode
    head = "<bos> <user> how do i make the bolba ? <assistant> <think>"
    assert decode(document.prompt_ids) == head
    assert decode(document.answer_ids) == expected
    assert document.domain == "harmful"


def test_what_does_not_fit_the_context_is_left_out_aloud(capsys):
    traces = [Trace(record("a", "harmful"), text, "no .") for text in ("no .", "no . no .")]
    assert len(render(traces, RENDERER, 17)) == 1
    assert "left out 1 traces of more than 17 tokens" in capsys.readouterr().err
    assert len(render(traces, RENDERER, 19)) == 2


def test_a_domain_of_which_nothing_fits_is_an_error():
    traces = [
        Trace(record("a", "harmful"), "no . " * 9, "no ."),
        Trace(record("b", "benign"), "no .", "no ."),
    ]
    with pytest.raises(DataError, match=r"harmful traces that fit .* 17 tokens, got none of 1"):
        render(traces, RENDERER, 17)


def test_template_markers_are_refused():
    with pytest.raises(RenderError, match="</think>"):
        render([Trace(record("a", "harmful"), "no . </think>", "no .")], RENDERER, 128)


def documents(lengths):
    return [Document("math", (number,), (0,) * (n - 1)) for number, n in enumerate(lengths)]


def test_batches_are_as_full_as_whole_documents_allow():
    runs = split(documents([3, 3, 4, 9, 2, 5, 3]), 7)
    assert [[d.length for d in run] for run in runs] == [[3, 3], [4], [9], [2, 5], [3]]


@given(st.lists(st.integers(2, 9), min_size=1, max_size=9), st.integers(1, 30), st.integers(0, 9))
def test_every_epoch_shows_every_document_once_and_a_cursor_is_enough(lengths, tokens, seed):
    given_, once = documents(lengths), DocumentStream(documents(lengths), seed)
    taken = []
    while len(taken) < 3 * len(given_):
        resumed = DocumentStream(given_, seed)
        resumed.cursor = once.cursor
        batch = once.take(tokens)
        assert batch == resumed.take(tokens)
        assert len(batch) == 1 or sum(d.length for d in batch) <= tokens
        taken += batch
    assert once.cursor == len(taken)
    for epoch in range(3):
        part = taken[epoch * len(given_) : (epoch + 1) * len(given_)]
        assert sorted(d.prompt_ids for d in part) == [d.prompt_ids for d in given_]


def test_a_stream_of_nothing_is_refused():
    with pytest.raises(DataError, match="Expected documents"):
        DocumentStream([], 0)
