"""One question to a server of OpenAI's chat completions, with all that can go wrong with it.

429, 5xx, timeouts and broken connections are tried again, after the pause that the server asks for
or a growing, jittered one; other refusals are not. What every other question would meet as well
(a wrong key, a spent quota, a parameter that the model does not take, another model than was asked)
ends everything at the first. After a few failed or cut-off questions in a row nobody is asked any
more. No redirect is followed and no proxy used. Leaves out streaming, and what is asked:
recap/scoring/questions.py.
"""

from __future__ import annotations

import email.utils
import json
import random
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from recap.errors import JudgeError
from recap.judges.journal import Answer
from recap.params.judge import JudgeApi

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
PATIENCE = 120.0
"""Seconds; a server that asks for a longer pause is given up."""
LARGEST = 1 << 20
"""Bytes of an answer."""
RETRIED = {408, 425, 429, *range(500, 600)}
MISTAKEN = {401, 402, 403, 404}
"""Statuses that say that settings or account are wrong: every other question would end the same."""
SPENT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
"""Codes of a 429 that no waiting mends."""
REFUSED_WORDS = re.compile(
    r"unsupported|not supported|(?:does not|doesn't) support|unrecognized|unknown|deprecated|"
    r"not permitted|use '?max_(?:completion_)?tokens",
    re.IGNORECASE,
)
"""How servers say that a model does not take a parameter, beside its name; that a question is too
long they say with its name too, but in other words."""
MENDS = {
    "max_tokens": "Set judge.api.token_parameter to max_completion_tokens",
    "max_completion_tokens": "Set judge.api.token_parameter to max_tokens",
    "temperature": "Set judge.api.temperature to null, which leaves it to the model",
}
"""What to do about each parameter that a model may refuse."""


class Unanswered(Exception):
    """A question got no answer; the message is ``what: details``."""


class Again(Exception):
    """An attempt failed in a way that may pass; ``pause`` is what the server asks for, seconds."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


class ChatClient:
    """Asks one server; used by several threads at once."""

    def __init__(
        self,
        settings: JudgeApi,
        base_url: str,
        key: str | None,
        *,
        seed: int,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``key`` is the server's; ``seed`` is that of the pauses' jitter."""
        self._settings, self._key = settings, key
        self.url = f"{base_url}/chat/completions"
        self._sleep, self._clock = sleep, clock
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._failed: list[str] = []
        self._hopeless: JudgeError | None = None
        self._not_before = 0.0
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(
            headers=headers,
            timeout=settings.timeout_s,
            follow_redirects=False,
            trust_env=False,  # a proxy or .netrc of the environment must not get key or prompts
            transport=transport,
            limits=httpx.Limits(max_connections=settings.concurrency),
        )

    def request(self, messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """All that is sent beside the key."""
        settings = self._settings
        chosen = {} if settings.temperature is None else {"temperature": settings.temperature}
        return {
            "model": settings.model,
            "messages": list(messages),
            **chosen,
            settings.token_parameter: settings.max_tokens,
        }

    def ask(self, messages: Sequence[Mapping[str, str]]) -> Answer:
        """The server's answer, cut off or not.

        Raises Unanswered, and JudgeError where no other question would fare better.
        """
        self._refuse_if_broken()
        try:
            answer = self._attempts(messages)
        except JudgeError as error:
            with self._lock:
                self._hopeless = error
            raise
        except Unanswered as error:
            with self._lock:
                self._failed.append(str(error))
            raise
        withheld = why_withheld(answer, self._settings)
        with self._lock:
            if withheld is None:
                self._failed.clear()
            else:
                self._failed.append(withheld)
        return answer

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _refuse_if_broken(self) -> None:
        with self._lock:
            if self._hopeless is not None:
                raise self._hopeless
            if len(self._failed) >= self._settings.breaker:
                what = self._failed[-1].partition(":")[0]
                raise Unanswered(
                    f"not asked after {len(self._failed)} failed questions in a row ({what})"
                )

    def _attempts(self, messages: Sequence[Mapping[str, str]]) -> Answer:
        for attempt in range(self._settings.attempts):
            self._wait()
            try:
                return self._attempt(messages)
            except Again as error:
                reason, pause = str(error), error.pause
            if pause is not None and pause > PATIENCE:
                raise Unanswered(f"{reason}: the server asks for a pause of {pause:.0f} s")
            if attempt + 1 < self._settings.attempts:
                self._hold(pause, attempt)
        what, _, details = reason.partition(": ")
        raise Unanswered(f"{what}, {self._settings.attempts} times: {details}")

    def _wait(self) -> None:
        """Wait until asking is allowed again: a pause that one thread was told holds for all."""
        while True:
            with self._lock:
                left = self._not_before - self._clock()
            if left <= 0:
                return
            self._sleep(left)

    def _hold(self, pause: float | None, attempt: int) -> None:
        if pause is not None:
            with self._lock:
                self._not_before = max(self._not_before, self._clock() + pause)
            return
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
        with self._lock:
            jittered = longest * self._random.uniform(0.5, 1.5)
        self._sleep(jittered)

    def _attempt(self, messages: Sequence[Mapping[str, str]]) -> Answer:
        body = self.request(messages)
        try:
            status, headers, text = self._post(body)
        except httpx.TimeoutException:
            raise Again(f"timeout: {self._settings.timeout_s:g} s") from None
        except httpx.TransportError as error:
            raise Again(f"no connection: {type(error).__name__}") from None
        mend = _mend(status, text, body)
        if mend is not None:
            raise JudgeError(
                f"Expected answers from the judge at {self.url}, got status {status}: "
                f"{self._words(text).rstrip('.')}. {mend}."
            )
        if status in RETRIED:
            raise Again(f"status {status}: {self._words(text)}", _pause(headers))
        if status != 200:
            raise Unanswered(f"status {status}: {self._words(text)}")
        answer, model = _answer(text)
        if model not in (None, self._settings.model, self._settings.revision):
            raise JudgeError(
                f"Expected answers of the model '{self._settings.model}' (judge.api.model), got "
                f"one of '{model}'. If that is the model you mean, set judge.api.revision to its "
                "name, which goes into every verdict; else correct judge.api.model."
            )
        return answer

    def _post(self, body: Mapping[str, Any]) -> tuple[int, httpx.Headers, str]:
        """Status, headers and text; the time limit is for the whole of it."""
        deadline = self._clock() + self._settings.timeout_s
        with self._client.stream("POST", self.url, json=body) as response:
            data = b""
            for piece in response.iter_bytes():
                data += piece
                if len(data) > LARGEST:
                    raise Again(f"answer too large: above {LARGEST} bytes")
                if self._clock() > deadline:
                    raise httpx.ReadTimeout("the answer came too slowly")
        return response.status_code, response.headers, data.decode("utf-8", errors="replace")

    def _words(self, text: str) -> str:
        """What the server says of its refusal, short and without the key."""
        error = _error(text)
        text = str(error.get("message", text))
        if self._key:
            text = text.replace(self._key, "[key]")
        return " ".join(text.split())[:200]


def _pause(headers: httpx.Headers) -> float | None:
    """Seconds that ``Retry-After`` asks for, as a number or a date; ``None`` if it is not there.

    A date is compared with the server's own clock where it sends that.
    """
    asked = headers.get("retry-after", "").strip()
    if asked.isdigit():
        return float(asked)
    until, now = _date(asked), _date(headers.get("date", ""))
    if until is None:
        return None
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        found = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def why_withheld(answer: Answer, settings: JudgeApi) -> str | None:
    """Why an answer that came is none, as ``what: details``; ``None`` if it is one."""
    if answer.finish_reason == "length":
        return (
            f"cut off: the answer had not ended after judge.api.max_tokens, {settings.max_tokens}. "
            "Raise it (a model that thinks first needs hundreds)"
        )
    if answer.finish_reason == "content_filter":
        return "withheld: the server's content filter stopped the answer"
    return None


def _mend(status: int, text: str, body: Mapping[str, Any]) -> str | None:
    """What to do about a refusal that every other question would meet; ``None`` if it is none."""
    error = _error(text)
    codes = {str(error.get(name)) for name in ("code", "type")}
    if status == 402 or (status == 429 and codes & SPENT):
        return "Waiting does not help: top up the account, or ask another server (judge.api)"
    if status in (400, 422):
        said = f"{error.get('param')} {error.get('message', text)}"
        named = [name for name in MENDS if name in body and re.search(rf"\b{name}\b", said)]
        if named and REFUSED_WORDS.search(f"{said} {' '.join(codes)}"):
            return MENDS[named[0]]
    if 300 <= status < 400 or status in MISTAKEN:
        return "Correct judge.api (redirects are not followed)"
    return None


def _error(text: str) -> dict[str, Any]:
    """The error object of a refusal; of one that is a text, that as its message."""
    try:
        found = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {"message": found}


def _answer(text: str) -> tuple[Answer, str | None]:
    """The answer and the model that the server says gave it."""
    try:
        found = json.loads(text)
        choice = found["choices"][0]
        said = choice["message"]["content"]
        usage = found.get("usage") or {}
        answer = Answer(
            said if isinstance(said, str) else "",
            int(usage.get("prompt_tokens") or 0),
            int(usage.get("completion_tokens") or 0),
            choice.get("finish_reason"),
        )
        return answer, found.get("model")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise Again("malformed answer: no choices[0].message.content") from None
