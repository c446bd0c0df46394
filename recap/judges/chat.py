"""One question to a server of OpenAI's chat completions, with all that can go wrong with it.

429, 5xx, timeouts and broken connections are tried again, after the pause that the server asks for
or a growing, jittered one; other refusals are not. After a few failed questions in a row nobody is
asked any more. No redirect is followed and no proxy used. Leaves out streaming, and what is asked:
recap/judges/questions.py.
"""

from __future__ import annotations

import email.utils
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from recap import params
from recap.errors import JudgeError
from recap.judges.journal import Answer

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
PATIENCE = 120.0
"""Seconds; a server that asks for a longer pause is given up."""
LARGEST = 1 << 20
"""Bytes of an answer."""
RETRIED = {408, 425, 429, *range(500, 600)}
MISTAKEN = {401, 403, 404}
"""Statuses that say that the settings are wrong: every other question would end the same."""


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
        settings: params.JudgeApi,
        base_url: str,
        key: str | None,
        *,
        seed: int,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``key`` is the server's; ``seed`` is that of the pauses' jitter."""
        self._settings, self._url, self._key = settings, f"{base_url}/chat/completions", key
        self._sleep, self._clock = sleep, clock
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._failed: list[str] = []
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

    def ask(self, messages: Sequence[Mapping[str, str]]) -> Answer:
        """The server's answer; raises Unanswered, or JudgeError where the settings are wrong."""
        self._refuse_if_broken()
        try:
            answer = self._attempts(messages)
        except Unanswered as error:
            with self._lock:
                self._failed.append(str(error))
            raise
        with self._lock:
            self._failed.clear()
        return answer

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _refuse_if_broken(self) -> None:
        with self._lock:
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
        body = {
            "model": self._settings.model,
            "messages": list(messages),
            "temperature": 0,
            "max_tokens": self._settings.max_tokens,
        }
        try:
            status, headers, text = self._post(body)
        except httpx.TimeoutException:
            raise Again(f"timeout: {self._settings.timeout_s:g} s") from None
        except httpx.TransportError as error:
            raise Again(f"no connection: {type(error).__name__}") from None
        if status in RETRIED:
            raise Again(f"status {status}: {self._words(text)}", _pause(headers))
        if 300 <= status < 400 or status in MISTAKEN:
            raise JudgeError(
                f"Expected answers from the judge at {self._url}, got status {status}: "
                f"{self._words(text)}. Correct judge.api (redirects are not followed)."
            )
        if status != 200:
            raise Unanswered(f"status {status}: {self._words(text)}")
        return _answer(text)

    def _post(self, body: Mapping[str, Any]) -> tuple[int, httpx.Headers, str]:
        """Status, headers and text; the time limit is for the whole of it."""
        deadline = self._clock() + self._settings.timeout_s
        with self._client.stream("POST", self._url, json=body) as response:
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
        try:
            said = json.loads(text)["error"]
            text = str(said["message"] if isinstance(said, dict) else said)
        except (ValueError, KeyError, TypeError):
            pass
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


def _answer(text: str) -> Answer:
    try:
        found = json.loads(text)
        said = found["choices"][0]["message"]["content"]
        usage = found.get("usage") or {}
        return Answer(
            said if isinstance(said, str) else "",
            int(usage.get("prompt_tokens") or 0),
            int(usage.get("completion_tokens") or 0),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise Again("malformed answer: no choices[0].message.content") from None
