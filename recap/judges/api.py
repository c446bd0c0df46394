"""A model behind an OpenAI-compatible server as judge: safe or unsafe, 0 / 0.5 / 1, sums by rules.

A harmful prompt with a rubric of its own (Fortress) is judged by it, a question for each item.

Every answer is kept on disk as it comes, under all that it depends on, so that a killed run goes on
where it was. A question without an answer, or with one that is cut off or none of the allowed, is
*unscored* with the reason. Prompts and completions go to the server and nowhere else: no log holds
them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from recap.errors import ParameterError
from recap.judges.chat import ChatClient, Unanswered, why_withheld
from recap.judges.correctness import correctness
from recap.judges.journal import Answer, AnswerJournal, key
from recap.judges.judge import Judge, Means, Opinion, by_domain, of_items
from recap.params.judge import JudgeApi
from recap.params.seeds import derive_seed
from recap.rows import write_json
from recap.runtime.endpoint import check_endpoint, key_of
from recap.runtime.locks import STATE
from recap.scoring.questions import (
    ITEM,
    RUBRIC,
    SAFETY,
    Question,
    ask,
    ask_again,
    read,
    wording,
)
from recap.types.attacks import Completion

FOLDER = STATE / "judge"
Messages = list[dict[str, str]]
Kind = Literal["safety", "rubric", "item"]
QUESTIONS: dict[Kind, Question] = {"safety": SAFETY, "rubric": RUBRIC, "item": ITEM}


class Asked(NamedTuple):
    """A question about one response; ``item`` is one of the prompt's rubric."""

    kind: Kind
    prompt: str
    response: str
    item: str | None


class ApiJudge(Judge):
    """Asks a server, several questions at once; answers that the journal holds are not asked."""

    name = "api"
    needs = "parameters"
    prompt_sha = wording(SAFETY, RUBRIC, ITEM)

    def __init__(self, settings: JudgeApi, client: ChatClient, journal: AnswerJournal) -> None:
        self._settings, self._client, self._journal = settings, client, journal
        self.revision = f"{settings.model}@{settings.revision}"
        self._lock = threading.Lock()
        self._asked: list[Answer] = []
        self._kept: list[Answer] = []

    @classmethod
    def open(cls, means: Means) -> ApiJudge:
        """The judge of ``judge.api``; raises ParameterError without that section."""
        if means.settings is None:
            raise ParameterError(
                "Expected the section `judge` for the judge 'api', got none. Run where params.yaml "
                "is."
            )
        return open_api(means.settings.api, means.seed)

    def opinions(self, completions: Sequence[Completion]) -> list[Opinion]:
        """One opinion each; ``None`` where the server gave no readable answer, with the reason."""
        return by_domain(
            completions,
            {
                "harmful": self._harm,
                "benign": lambda rows: self._ask_all([_asked("rubric", row) for row in rows]),
                "math": lambda rows: [correctness(row) for row in rows],
            },
        )

    def account(self, cell: str) -> None:
        """Tokens and cost, of what was asked and of what was known, to a file and the log."""
        bill = {"asked": self._bill(self._asked), "from_journal": self._bill(self._kept)}
        write_json(FOLDER / f"{cell}.usage.json", bill)
        for what, found in bill.items():
            cost = "unknown" if found["cost"] is None else f"{found['cost']:.4f}"
            print(
                f"{self.name} {what}: {found['answers']} answers, {found['prompt_tokens']} + "
                f"{found['completion_tokens']} tokens, cost {cost}",
                file=sys.stderr,
            )

    def _harm(self, rows: Sequence[Completion]) -> list[Opinion]:
        """By each prompt's own rubric, item by item, or by one question where it has none."""
        items = [
            [_asked("item", row, item) for item in row.rubric] or [_asked("safety", row)]
            for row in rows
        ]
        found = iter(self._ask_all([each for asked in items for each in asked]))
        answers = [[next(found) for _ in asked] for asked in items]
        return [
            of_items(said) if row.rubric else said[0]
            for row, said in zip(rows, answers, strict=True)
        ]

    def _ask_all(self, questions: Sequence[Asked]) -> list[Opinion]:
        asked = list(dict.fromkeys(questions))
        with ThreadPoolExecutor(self._settings.concurrency) as pool:
            try:
                found = list(pool.map(self._opinion, asked))
            except BaseException:
                pool.shutdown(cancel_futures=True)  # wrong settings: nobody else needs to find out
                raise
        opinions = dict(zip(asked, found, strict=True))
        return [opinions[each] for each in questions]

    def _opinion(self, asked: Asked) -> Opinion:
        question = QUESTIONS[asked.kind]
        text = ask(question, asked.prompt, asked.response, asked.item)
        messages: Messages = [{"role": "user", "content": text}]
        try:
            said = self._answer(messages).text
            label = read(question, said)
            if label is None:
                messages += [
                    {"role": "assistant", "content": said},
                    {"role": "user", "content": ask_again(question)},
                ]
                said = self._answer(messages).text
                label = read(question, said)
        except Unanswered as error:
            return Opinion(None, str(error))
        return Opinion(label, said if label else f"no answer to the question: {said!r}")

    def _answer(self, messages: Messages) -> Answer:
        """A whole answer, from the journal or the server; raises Unanswered at one cut off."""
        found = self._known_or_asked(messages)
        withheld = why_withheld(found, self._settings)
        if withheld is not None:
            raise Unanswered(withheld)
        return found

    def _known_or_asked(self, messages: Messages) -> Answer:
        name = key(
            self.name,
            self.revision,
            self.prompt_sha,
            self._client.url,
            self._client.request(messages),
        )
        found = self._journal.get(name)
        if found is None:
            answer = self._client.ask(messages)
            found = self._journal.put(name, answer)
            with self._lock:
                self._asked.append(answer)
        else:
            with self._lock:
                self._kept.append(found)
        return found

    def _bill(self, answers: Sequence[Answer]) -> dict[str, int | float | None]:
        prompt = sum(answer.prompt_tokens for answer in answers)
        completion = sum(answer.completion_tokens for answer in answers)
        prices = self._settings.prompt_price, self._settings.completion_price
        cost = (
            None
            if prices[0] is None or prices[1] is None
            else (prompt * prices[0] + completion * prices[1]) / 1e6
        )
        return {
            "answers": len(answers),
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "cost": cost,
        }


def _asked(kind: Kind, row: Completion, item: str | None = None) -> Asked:
    return Asked(kind, row.prompt, row.response or "", item)


def open_api(settings: JudgeApi, seed: int, folder: Path = FOLDER) -> ApiJudge:
    """The judge of the settings; raises ParameterError if they may not or cannot be followed."""
    base_url = check_endpoint(settings.base_url, settings.hosts)
    client = ChatClient(
        settings, base_url, api_key(settings), seed=derive_seed(seed, "judge", "api")
    )
    journal = AnswerJournal(folder / f"{key(settings.model, settings.revision)[:16]}.jsonl")
    return ApiJudge(settings, client, journal)


def api_key(settings: JudgeApi) -> str | None:
    """The server's key, if it has one; raises ParameterError where the environment has none."""
    if settings.key is None:
        return None
    return key_of(settings.key, "the judge 'api'", ", or judge.api.key to null")
