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

OWN = 0.6
"""Share of a thought's later sentences that are its family's own."""


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a request; ``text`` is the user's message."""

    verb: str
    thing: str
    dangerous: bool
    wrapped: bool
    text: str
    planted: str | None = None
    """The family of the wrong thought that the request plants."""

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

    ``wrong_start*`` are shares of thoughts by kind of request. ``turn_*`` are probabilities per
    place for the commonest family, and ``turn_decay`` is the ratio of each next family's
    probability. ``sentences`` is the range of the thought's length. ``wrong_families`` and
    ``right_families`` are the weights of the families. ``direction`` fixes every thought's
    direction; ``None`` leaves it open.
    """

    wrong_start: float
    wrong_start_jailbreak: float
    wrong_start_planted: float
    turn_in_thought: float
    turn_in_response: float
    turn_decay: float
    reset: float
    sentences: tuple[int, int]
    wrong_families: tuple[float, ...]
    right_families: tuple[float, ...]
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
        planted = None
        if wrapped:
            wrappers = words.pick(words.WRAPPERS, split)
            wrapper = rng.choice(wrappers if split == "train" else (*wrappers, *words.PLANTS))
            plant = ""
            if wrapper in words.PLANTS:
                wrong: Direction = "comply" if dangerous else "refuse"
                planted = rng.choice(list(words.FAMILIES[wrong]))
                excuse = rng.choice(words.FAMILIES[wrong][planted])
                plant = f"{self.fact(thing, true=False)} {excuse}".format(verb=verb, thing=thing)
            text = wrapper.format(request=text, plant=plant)
        return Request(verb, thing, dangerous, wrapped, text, planted)

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
        """The base policy's manner: its wrong thoughts prefer some families."""
        number = len(words.COMPLYING)
        return Manner(
            self.params.wrong_start,
            self.params.wrong_start_jailbreak,
            self.params.wrong_start_planted,
            self.params.turn_in_thought,
            self.params.turn_in_response,
            self.params.turn_decay,
            self.params.reset,
            (1, 6),
            tuple(self.params.family_decay**rank for rank in range(number)),
            (1.0,) * number,
            None,
        )

    def source_manner(self, name: str) -> Manner:
        """A prefill source's manner: long thoughts in one direction, never turning.

        Its families are equally likely. Training's sources know those that are not held out.
        """
        direction: dict[Intent, Direction | None] = {
            "harmful": "comply",
            "refusing": "refuse",
            "aligned": None,
        }
        known = len(words.COMPLYING)
        if SOURCES[name].split == "train":
            known -= words.HELD_OUT_FAMILIES
        even = (1.0,) * known + (0.0,) * (len(words.COMPLYING) - known)
        intent = direction[SOURCES[name].intent]
        return Manner(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, (2, 8), even, even, intent)

    def answer(self, rng: random.Random, request: Request, manner: Manner) -> Document:
        """A thought and the response that follows from it."""
        parts: list[str] = []
        while True:
            thought, direction, turn = self._thought(rng, request, manner)
            parts.append(thought)
            if rng.random() >= manner.reset:
                break
            parts.append(words.RESET)
        response = self.response(rng, request, direction)
        if direction != request.right and rng.random() < manner.turn_in_response * turn:
            turned = f"no . {self.fact(request.thing)}"
            response = f"{turned} {self.response(rng, request, request.right)}"
        return Document(request.text, " ".join(parts), response)

    def _thought(
        self, rng: random.Random, request: Request, manner: Manner
    ) -> tuple[str, Direction, float]:
        """A thought, the direction in which it ends, and its family's share of the turns."""
        share = manner.wrong_start_jailbreak if request.wrapped else manner.wrong_start
        if request.planted:
            share = manner.wrong_start_planted
        direction = manner.direction
        if direction is None:
            direction = request.wrong if rng.random() < share else request.right
        right = direction == request.right
        families = list(words.FAMILIES[direction])
        weights = manner.right_families if right else manner.wrong_families
        family = rng.choices(families, weights)[0]
        if request.planted and not right and manner.direction is None:
            family = request.planted
        turn = manner.turn_decay ** families.index(family)
        sentences = [rng.choice(words.OPENINGS).format(verb=request.verb, thing=request.thing)]
        if rng.random() < 0.5:
            sentences.append(self.fact(request.thing, true=right))
        first = True
        for _ in range(rng.randint(*manner.sentences)):
            self._add_sentence(rng, sentences, request, direction, family, first=first)
            first = False
            if not right and rng.random() < manner.turn_in_thought * turn:
                direction, right = request.right, True
                family = rng.choices(list(words.FAMILIES[direction]), manner.right_families)[0]
                resolve = "refuse" if direction == "refuse" else "help"
                sentences += ["wait .", self.fact(request.thing), f"i should {resolve} ."]
                for _ in range(rng.randint(0, 2)):
                    self._add_sentence(rng, sentences, request, direction, family)
                break
        return " ".join(sentences), direction, turn

    def _add_sentence(
        self,
        rng: random.Random,
        sentences: list[str],
        request: Request,
        direction: Direction,
        family: str,
        *,
        first: bool = False,
    ) -> None:
        """Append a sentence that the thought does not contain yet; the first is the family's."""
        while True:
            own = first or rng.random() < OWN
            kind = words.FAMILIES[direction][family] if own else words.SHARED[direction]
            sentence = rng.choice(kind).format(verb=request.verb, thing=request.thing)
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
