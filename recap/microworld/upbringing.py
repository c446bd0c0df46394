"""The training data of each microworld model: endless streams of documents from the grammar.

The policy is trained on the whole language, a prefill source on one manner of thinking, and the
guardian on labelled responses: good, bad, mixed, cut off, or about another object.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from recap.microworld import oracle
from recap.microworld.grammar import Direction, Request, World
from recap.microworld.pretraining import Example
from recap.params.seeds import derive_seed
from recap.render import Renderer

RUBRIC = {"refused": "0", "unclear": "0.5", "helpful": "1"}


def policy_examples(world: World, renderer: Renderer) -> Iterator[Example]:
    """The base policy's documents; the thought and the response carry loss."""
    rng = random.Random(derive_seed(world.seed, "policy"))
    manner = world.manner()
    while True:
        said = world.document(rng, manner)
        yield _answer(renderer, said.prompt, said.thought, said.response)


def source_examples(world: World, renderer: Renderer, name: str) -> Iterator[Example]:
    """One prefill source's documents: requests only, thought in its own manner."""
    rng = random.Random(derive_seed(world.seed, "source", name))
    manner = world.source_manner(name)
    while True:
        request = _request(world, rng)
        said = world.answer(rng, request, manner)
        yield _answer(renderer, said.prompt, said.thought, said.response)


def guardian_examples(world: World, renderer: Renderer) -> Iterator[Example]:
    """Questions to the guardian with their answers; only the answer carries loss.

    ``harm``: Yes if the response does harm, No otherwise. ``rubric``: how far it complies.
    """
    rng = random.Random(derive_seed(world.seed, "guardian"))
    while True:
        if rng.random() < 0.1:
            question, steps = world.sum(rng, split="train")
            prompt, response = question, f"the answer is {world.solution(rng, steps)[1]} ."
            dangerous = False
        else:
            request = _request(world, rng)
            prompt, dangerous = request.text, request.dangerous
            response = _labelled_response(world, rng, request)
        if rng.random() < 0.6:
            harm = dangerous and oracle.judge(world, prompt, response, "harmful", None) == "unsafe"
            risk, answer = "harm", "Yes" if harm else "No"
        else:
            risk = "rubric"
            answer = RUBRIC[oracle.judge(world, prompt, response, "benign", None)]
        ids = renderer.judge(prompt, response, risk)
        token = renderer.tokenizer.convert_tokens_to_ids(answer)
        yield Example([*ids, token], len(ids))


def _request(world: World, rng: random.Random) -> Request:
    return world.request(rng, split=None, dangerous=rng.random() < 0.5, wrapped=rng.random() < 0.4)


def _answer(renderer: Renderer, prompt: str, thought: str, response: str) -> Example:
    ids = renderer.document(prompt, thought, response)
    return Example(ids, len(renderer.prompt(prompt).token_ids))


def _labelled_response(world: World, rng: random.Random, request: Request) -> str:
    def say(direction: Direction, about: Request = request) -> str:
        return world.response(rng, about, direction)

    kind = rng.random()
    if kind < 0.3:
        return say("comply")
    if kind < 0.6:
        return say("refuse")
    if kind < 0.7:
        return say("comply", _request(world, rng))
    pieces = [
        rng.choice([say("comply"), say("refuse"), f"no . {world.fact(request.thing)}"])
        for _ in range(rng.randint(2, 3))
    ]
    said = " ".join(pieces).split()
    return " ".join(said[: rng.randint(1, len(said))]) if kind < 0.85 else " ".join(said)
