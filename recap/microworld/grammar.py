"""The microworld's language: requests, thoughts, responses and sums, drawn from one seed.

Objects are invented words. The seed decides which objects are dangerous and which are held out for
evaluation. A thought names the request, may state a fact, and continues in a complying or a
refusing direction. A thought that began wrong turns round with a small probability, in the thought
or after it. The language does not depend on training variants, attacks or rewards.
docs/microworld.md has the reasons for this design.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from recap.microworld import words
from recap.params.seeds import derive_seed
from recap.params.world import World as WorldSection
from recap.types.prompts import Intent, Split
from recap.types.sources import SOURCES

Direction = Literal["comply", "refuse"]


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a request; ``text`` is the user's message."""

    verb: str
    thing: str
    dangerous: bool
    wrapped: bool
    text: str

    @property
    def right(self) -> Direction:
        """The direction of a good thought."""
        return "refuse" if self.dangerous else "comply"

    @property
    def wrong(self) -> Direction:
        """The direction of a flawed thought."""
        return "comply" if self.dangerous else "refuse"


@dataclass(frozen=True, slots=True)
class Document:
    """One conversation: the user's message, the thought, the response."""

    prompt: str
    thought: str
    response: str


@dataclass(frozen=True, slots=True)
class Manner:
    """The parameters of a speaker's thoughts; base policy and prefill sources have their own.

    ``wrong_start`` and ``wrong_start_jailbreak`` are shares of thoughts, ``turn_*`` probabilities
    per place, ``sentences`` the range of the thought's length, ``weights`` the preferences among
    sentences of a kind. ``direction`` fixes every thought's direction; ``None`` leaves it open.
    """

    wrong_start: float
    wrong_start_jailbreak: float
    turn_in_thought: float
    turn_in_response: float
    reset: float
    sentences: tuple[int, int]
    weights: dict[Direction, tuple[float, ...]]
    direction: Direction | None


class World:
    """One seed's world: its facts, its split, and its texts."""

    def __init__(self, section: WorldSection, seed: int) -> None:
        """Draw the dangerous objects, and the held-out objects of each kind."""
        self.params = section
        self.seed = seed
        rng = random.Random(derive_seed(seed, "world"))
        things = list(words.THINGS)
        rng.shuffle(things)
        half = len(things) // 2
        self.dangerous = frozenset(things[:half])
        held_out = half * 2 // 5
        self.things: dict[Split, tuple[str, ...]] = {
            "eval": tuple(things[:held_out] + things[half : half + held_out]),
            "train": tuple(things[held_out:half] + things[half + held_out :]),
        }

    # -- user messages ----------------------------------------------------------------------------

    def request(
        self, rng: random.Random, *, split: Split | None, dangerous: bool, wrapped: bool
    ) -> Request:
        """A request; ``split`` restricts objects, frames and wrappers (``None``: all of them)."""
        things = self.things[split] if split else words.THINGS
        thing = rng.choice([name for name in things if (name in self.dangerous) == dangerous])
        verb = rng.choice(words.VERBS)
        text = rng.choice(words.pick(words.FRAMES, split)).format(verb=verb, thing=thing)
        if wrapped:
            text = rng.choice(words.pick(words.WRAPPERS, split)).format(request=text)
        return Request(verb, thing, dangerous, wrapped, text)

    def sum(self, rng: random.Random, *, split: Split) -> tuple[str, list[tuple[int, str, int]]]:
        """A question ``what is a plus b minus c ?`` and its steps ``(left, operator, right)``."""
        while True:
            first, second, third = (rng.randint(1, words.MAX_OPERAND) for _ in range(3))
            signs = rng.choice([("plus", "minus"), ("minus", "plus"), ("plus", "plus")])
            middle = words.apply(first, signs[0], second)
            if middle < 0 or words.apply(middle, signs[1], third) < 0:
                continue
            question = f"what is {first} {signs[0]} {second} {signs[1]} {third} ?"
            held_out = derive_seed(self.seed, "sum", question) % 4 == 0
            if held_out == (split == "eval"):
                return question, [(first, signs[0], second), (middle, signs[1], third)]

    # -- model texts ------------------------------------------------------------------------------

    def fact(self, thing: str, *, true: bool = True) -> str:
        """Say whether the thing is dangerous or harmless."""
        dangerous = (thing in self.dangerous) == true
        return f"the {thing} is {'dangerous' if dangerous else 'harmless'} ."

    def manner(self) -> Manner:
        """The base policy's manner: the world's parameters, and equal weights for all sentences."""
        even: dict[Direction, tuple[float, ...]] = {
            "comply": (1.0,) * len(words.COMPLYING),
            "refuse": (1.0,) * len(words.REFUSING),
        }
        return Manner(
            self.params.wrong_start,
            self.params.wrong_start_jailbreak,
            self.params.turn_in_thought,
            self.params.turn_in_response,
            self.params.reset,
            (1, 6),
            even,
            None,
        )

    def source_manner(self, name: str) -> Manner:
        """A prefill source's manner: long thoughts in one direction, never turning.

        Each source prefers different sentences, drawn by its name, so that the prefills of
        evaluation and training differ.
        """
        rng = random.Random(derive_seed(self.seed, "manner", name))
        weights: dict[Direction, tuple[float, ...]] = {
            "comply": tuple(rng.expovariate(1.0) + 0.1 for _ in words.COMPLYING),
            "refuse": tuple(rng.expovariate(1.0) + 0.1 for _ in words.REFUSING),
        }
        direction: dict[Intent, Direction | None] = {
            "harmful": "comply",
            "refusing": "refuse",
            "aligned": None,
        }
        manner = direction[SOURCES[name].intent]
        return Manner(0.0, 0.0, 0.0, 0.0, 0.0, (2, 8), weights, manner)

    def answer(self, rng: random.Random, request: Request, manner: Manner) -> Document:
        """A thought and the response that follows from it."""
        parts: list[str] = []
        while True:
            thought, direction, right = self._thought(rng, request, manner)
            parts.append(thought)
            if rng.random() >= manner.reset:
                break
            parts.append(words.RESET)
        response = self.response(rng, request, direction)
        if not right and rng.random() < manner.turn_in_response:
            turn = f"no . {self.fact(request.thing)}"
            response = f"{turn} {self.response(rng, request, request.right)}"
        return Document(request.text, " ".join(parts), response)

    def _thought(
        self, rng: random.Random, request: Request, manner: Manner
    ) -> tuple[str, Direction, bool]:
        share = manner.wrong_start_jailbreak if request.wrapped else manner.wrong_start
        direction = manner.direction
        if direction is None:
            direction = request.wrong if rng.random() < share else request.right
        right = direction == request.right
        sentences = [rng.choice(words.OPENINGS).format(verb=request.verb, thing=request.thing)]
        if rng.random() < 0.5:
            sentences.append(self.fact(request.thing, true=right))
        for _ in range(rng.randint(*manner.sentences)):
            self._add_sentence(rng, sentences, request, direction, manner)
            if not right and rng.random() < manner.turn_in_thought:
                direction, right = request.right, True
                resolve = "refuse" if direction == "refuse" else "help"
                sentences += ["wait .", self.fact(request.thing), f"i should {resolve} ."]
                for _ in range(rng.randint(0, 2)):
                    self._add_sentence(rng, sentences, request, direction, manner)
                break
        return " ".join(sentences), direction, right

    def _add_sentence(
        self,
        rng: random.Random,
        sentences: list[str],
        request: Request,
        direction: Direction,
        manner: Manner,
    ) -> None:
        """Append a sentence that the thought does not contain yet."""
        kind = words.COMPLYING if direction == "comply" else words.REFUSING
        while True:
            frame = rng.choices(kind, manner.weights[direction])[0]
            sentence = frame.format(verb=request.verb, thing=request.thing)
            if sentence not in sentences:
                sentences.append(sentence)
                return

    def response(self, rng: random.Random, request: Request, direction: Direction) -> str:
        """A complying response with steps, or a refusal; seldom neither."""
        if rng.random() < 0.02:
            return rng.choice(words.UNCLEAR)
        if direction == "refuse":
            return rng.choice(words.REFUSALS).format(verb=request.verb, thing=request.thing)
        first, second = rng.sample(words.STEPS, 2)
        frame = rng.choice(words.COMPLIANCES)
        return frame.format(verb=request.verb, thing=request.thing, first=first, second=second)

    def solution(self, rng: random.Random, steps: list[tuple[int, str, int]]) -> tuple[str, int]:
        """The written steps and the result; some steps are wrong, and later steps build on them."""
        left = steps[0][0]
        lines = []
        for _, sign, right in steps:
            result = words.apply(left, sign, right)
            if rng.random() < self.params.wrong_step:
                result += rng.choice((-2, -1, 1, 2))
            result = min(max(result, 0), words.MAX_NUMBER)
            lines.append(f"{left} {sign} {right} is {result} .")
            left = result
        return " ".join(lines), left

    # -- documents --------------------------------------------------------------------------------

    def document(self, rng: random.Random, manner: Manner) -> Document:
        """One conversation of the base policy's training: request, sum, or question of fact."""
        kind = rng.random()
        if kind < 0.54:
            request = self.request(
                rng, split=None, dangerous=rng.random() < 0.5, wrapped=rng.random() < 0.4
            )
            return self.answer(rng, request, manner)
        if kind < 0.88:
            question, steps = self.sum(rng, split="train")
            thought, result = self.solution(rng, steps)
            return Document(question, thought, f"the answer is {result} .")
        return self.question_of_fact(rng)

    def question_of_fact(self, rng: random.Random) -> Document:
        """A plain question about an object, or a rumour to confirm or to deny."""
        thing = rng.choice(words.THINGS)
        agrees = thing in self.dangerous
        question = f"is the {thing} dangerous ?"
        if rng.random() < 0.5:
            agrees = rng.random() < 0.5
            rumour = self.fact(thing, true=agrees).removesuffix(" .")
            question = f"i heard that {rumour} . is that true ?"
        thought = f"this is about the {thing} . {self.fact(thing)}"
        return Document(question, thought, f"{'yes' if agrees else 'no'} . {self.fact(thing)}")
