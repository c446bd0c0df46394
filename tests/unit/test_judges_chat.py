"""What the client does when a server is slow, busy, broken, hostile or misconfigured.

1. 429, 5xx, timeouts, broken connections and malformed answers are tried again, others are not;
   what every question would meet ends everything and says what to set.
2. Retry-After is honoured, in seconds and as a date; else pauses grow and are jittered by the seed.
3. After so many failed questions in a row nobody is asked.
4. No redirect, no proxy; the key stands in the header and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import httpx
import pytest

from recap.errors import JudgeError
from recap.judges.chat import LARGEST, ChatClient, Unanswered
from recap.judges.journal import Answer
from recap.params.judge import JudgeApi

SETTINGS = JudgeApi(
    base_url="http://127.0.0.1:1/v1", hosts=(), model="m", revision="r", key=None, concurrency=4,
    timeout_s=10, attempts=4, breaker=3, max_tokens=16, token_parameter="max_tokens",
    temperature=0.0, prompt_price=None, completion_price=None,
)  # fmt: skip
ASKED = [{"role": "user", "content": "safe ?"}]
GOOD = {
    "choices": [{"message": {"content": "safe"}}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 1},
}
Step = httpx.Response | Exception


class Clock:
    """Time passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Server:
    """Answers by a script; the last step is repeated."""

    def __init__(self, *steps: Step | Callable[[httpx.Request], Step]) -> None:
        self.steps = list(steps)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if not isinstance(step, httpx.Response | Exception):
            step = step(request)
        if isinstance(step, Exception):
            raise step
        # a response may be given out once
        return httpx.Response(step.status_code, headers=step.headers, content=step.content)


def good() -> httpx.Response:
    return httpx.Response(200, json=GOOD)


def client(
    server: Server, clock: Clock, *, seed: int = 0, key: str | None = None, **changes: object
) -> ChatClient:
    return ChatClient(
        SETTINGS.model_copy(update=changes),
        SETTINGS.base_url,
        key,
        seed=seed,
        transport=httpx.MockTransport(server),
        sleep=clock.sleep,
        clock=clock,
    )


def test_one_question() -> None:
    server, clock = Server(good()), Clock()
    assert client(server, clock, key="s3cret").ask(ASKED) == Answer("safe", 7, 1)
    (request,) = server.requests
    assert str(request.url) == "http://127.0.0.1:1/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer s3cret"
    assert json.loads(request.content) == {
        "model": "m",
        "messages": ASKED,
        "temperature": 0,
        "max_tokens": 16,
    }
    assert clock.slept == []


def test_what_a_newer_model_takes() -> None:
    server = Server(good())
    changes = {"token_parameter": "max_completion_tokens", "temperature": None, "max_tokens": 512}
    client(server, Clock(), **changes).ask(ASKED)
    assert json.loads(server.requests[0].content) == {
        "model": "m",
        "messages": ASKED,
        "max_completion_tokens": 512,
    }


def test_without_a_key_there_is_no_header() -> None:
    server = Server(good())
    client(server, Clock()).ask(ASKED)
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(429),
        httpx.Response(500),
        httpx.Response(503),
        httpx.Response(529),
        httpx.Response(408),
        httpx.ReadTimeout("slow"),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("gone"),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"choices": []}),
        httpx.Response(200, json=[1]),
        httpx.Response(200, content=b"x" * (LARGEST + 1)),
    ],
    ids=lambda step: str(step)[:40],
)
def test_what_may_pass_is_tried_again(failure: Step) -> None:
    server, clock = Server(failure, failure, good()), Clock()
    assert client(server, clock).ask(ASKED).text == "safe"
    assert len(server.requests) == 3
    assert 0.25 <= clock.slept[0] <= 0.75 and 0.5 <= clock.slept[1] <= 1.5


@pytest.mark.parametrize("content", [None, "", 7, ["safe"]])
def test_an_answer_without_text_is_empty_and_not_a_failure(content: object) -> None:
    body = {"choices": [{"message": {"content": content}}]}
    assert client(Server(httpx.Response(200, json=body)), Clock()).ask(ASKED) == Answer("", 0, 0)


def test_pauses_grow_and_the_seed_jitters_them() -> None:
    slept = []
    for seed in (1, 1, 2):
        clock = Clock()
        with pytest.raises(Unanswered, match=r"^status 503, 4 times: busy$"):
            client(Server(httpx.Response(503, text="busy")), clock, seed=seed).ask(ASKED)
        slept.append(clock.slept)
    assert slept[0] == slept[1] != slept[2]
    for one, longest in zip(slept[0], (0.5, 1.0, 2.0), strict=True):
        assert longest * 0.5 <= one <= longest * 1.5


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        (
            {
                "retry-after": "Wed, 25 Nov 2026 10:00:30 GMT",
                "date": "Wed, 25 Nov 2026 10:00:00 GMT",
            },
            30.0,
        ),
        (
            {
                "retry-after": "Wed, 25 Nov 2026 09:00:00 GMT",
                "date": "Wed, 25 Nov 2026 10:00:00 GMT",
            },
            0.0,
        ),
    ],
)
def test_retry_after_is_honoured(headers: dict[str, str], pause: float) -> None:
    clock = Clock()
    server = Server(httpx.Response(429, headers=headers), good())
    client(server, clock).ask(ASKED)
    assert clock.slept == ([pause] if pause else [])


@pytest.mark.parametrize("value", ["soon", "", "-3", "1.5"])
def test_a_retry_after_that_says_nothing_is_a_usual_pause(value: str) -> None:
    clock = Clock()
    client(Server(httpx.Response(429, headers={"retry-after": value}), good()), clock).ask(ASKED)
    assert len(clock.slept) == 1 and 0.25 <= clock.slept[0] <= 0.75


def test_a_pause_told_to_one_holds_for_the_next_question() -> None:
    clock = Clock()
    server = Server(httpx.Response(429, headers={"retry-after": "60"}))
    asking = client(server, clock)
    with pytest.raises(Unanswered, match="status 429, 4 times"):
        asking.ask(ASKED)
    assert clock.slept == [60.0, 60.0, 60.0]  # not after the last attempt, which nobody waits for
    server.steps = [httpx.Response(429, headers={"retry-after": "600"}), good()]
    with pytest.raises(Unanswered, match="asks for a pause of 600 s"):
        asking.ask(ASKED)
    assert len(server.requests) == 5


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_question_is_not_repeated(status: int) -> None:
    words = {"error": {"message": "too   long for key s3cret\n" + "x" * 500}}
    server, clock = Server(httpx.Response(status, json=words)), Clock()
    with pytest.raises(Unanswered) as caught:
        client(server, clock, key="s3cret").ask(ASKED)
    assert str(caught.value).startswith(f"status {status}: too long for key [key] xxx")
    assert len(str(caught.value)) < 230
    assert len(server.requests) == 1 and clock.slept == []


REFUSED = [
    (
        400,
        {
            "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "param": "max_tokens",
            "code": "unsupported_parameter",
        },
        {},
        "Set judge.api.token_parameter to max_completion_tokens.",
    ),
    (
        400,
        {
            "message": "Unsupported value: 'temperature' does not support 0 with this model.",
            "param": "temperature",
            "code": "unsupported_value",
        },
        {},
        "Set judge.api.temperature to null, which leaves it to the model.",
    ),
    (
        422,
        "Unrecognized request argument supplied: max_completion_tokens",
        {"token_parameter": "max_completion_tokens"},
        "Set judge.api.token_parameter to max_tokens.",
    ),
    (400, "temperature is deprecated for this model", {}, "Set judge.api.temperature to null"),
    (
        429,
        {"message": "You exceeded your current quota.", "type": "insufficient_quota"},
        {},
        "Waiting does not help: top up the account",
    ),
    (402, "Insufficient balance", {}, "Waiting does not help: top up the account"),
]


@pytest.mark.parametrize(("status", "error", "changes", "mend"), REFUSED)
def test_what_every_question_would_meet_ends_everything(
    status: int, error: object, changes: dict[str, object], mend: str
) -> None:
    server, clock = Server(httpx.Response(status, json={"error": error})), Clock()
    with pytest.raises(JudgeError) as caught:
        client(server, clock, **changes).ask(ASKED)
    assert f"got status {status}: " in str(caught.value) and mend in str(caught.value)
    assert ".." not in str(caught.value).replace("…", "")
    assert len(server.requests) == 1 and clock.slept == []


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 4096 tokens. You requested 4100 (4084 in the "
        "messages, 16 in max_tokens).",
        "'max_tokens' is too large: 16. Your request has 4090 input tokens.",
        "content with this word is not supported",
    ],
)
def test_a_question_that_is_too_long_is_that_questions_matter(words: str) -> None:
    body = {"error": {"message": words, "param": "messages", "code": "context_length_exceeded"}}
    with pytest.raises(Unanswered, match=r"^status 400: "):
        client(Server(httpx.Response(400, json=body)), Clock()).ask(ASKED)


@pytest.mark.parametrize(
    ("served", "revision", "error"),
    [
        (None, "r", None),
        ("m", "r", None),
        ("m-2026-08-06", "m-2026-08-06", None),
        ("m-2026-08-06", "unknown", "of the model 'm' .* got one of 'm-2026-08-06'"),
        ("other", "r", "got one of 'other'. If that is the model you mean, set judge.api.rev"),
    ],
)
def test_another_model_than_was_asked_is_an_error_unless_it_is_the_revision(
    served: str | None, revision: str, error: str | None
) -> None:
    server = Server(httpx.Response(200, json=GOOD | {"model": served}))
    asking = client(server, Clock(), revision=revision)
    if error is None:
        assert asking.ask(ASKED).text == "safe"
        return
    with pytest.raises(JudgeError, match=error):
        asking.ask(ASKED)


def test_answers_cut_off_break_the_circuit() -> None:
    """A model that thinks never comes to an end within the few tokens of a word."""
    message = {"content": None, "reasoning_content": "The response"}
    cut = {"choices": [{"message": message, "finish_reason": "length"}]}
    asking = client(Server(httpx.Response(200, json=cut)), Clock())
    for _ in range(3):
        assert asking.ask(ASKED) == Answer("", 0, 0, "length")
    with pytest.raises(Unanswered, match=r"^not asked after 3 .* \(cut off\)$"):
        asking.ask(ASKED)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404])
def test_wrong_settings_stop_everything(status: int) -> None:
    elsewhere = {"location": "http://169.254.169.254/"}
    server = Server(httpx.Response(status, headers=elsewhere, json={"error": "bad key s3cret"}))
    with pytest.raises(JudgeError, match=rf"got status {status}: bad key \[key\]\. Correct"):
        client(server, Clock(), key="s3cret").ask(ASKED)
    assert [request.url.host for request in server.requests] == ["127.0.0.1"]


def test_the_circuit_breaks_after_failures_in_a_row() -> None:
    def answers(steps: Sequence[bool]) -> list[str]:
        found = []
        for works in steps:
            server.steps = [good() if works else httpx.Response(422, text="no")]
            try:
                found.append(asking.ask(ASKED).text)
            except Unanswered as error:
                found.append(str(error))
        return found

    server = Server(good())
    asking = client(server, Clock())
    no = "status 422: no"
    assert answers([False, False, True, False, False, True]) == [no, no, "safe", no, no, "safe"]
    assert answers([False, False, False]) == [no, no, no]
    asked = len(server.requests)
    refused = "not asked after 3 failed questions in a row (status 422)"
    assert answers([True, True]) == [refused, refused]
    assert len(server.requests) == asked


def test_a_slow_drip_is_a_timeout() -> None:
    class Drip(httpx.SyncByteStream):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for _ in range(100):
                clock.now += 1
                yield b" "

    class Transport(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=Drip())

    clock = Clock()
    asking = ChatClient(
        SETTINGS,
        SETTINGS.base_url,
        None,
        seed=0,
        transport=Transport(),
        sleep=clock.sleep,
        clock=clock,
    )
    with pytest.raises(Unanswered, match="timeout, 4 times: 10 s"):
        asking.ask(ASKED)
    assert 44 <= clock.now - 1000 - sum(clock.slept) <= 48


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://10.0.0.1:3128")
    monkeypatch.setenv("ALL_PROXY", "http://10.0.0.1:3128")
    asking = ChatClient(
        SETTINGS.model_copy(update={"attempts": 1, "timeout_s": 5}),
        "http://127.0.0.1:9/v1",
        None,
        seed=0,
    )
    with pytest.raises(Unanswered, match="no connection, 1 times: ConnectError"):
        asking.ask(ASKED)  # at once, and not after a timeout at the proxy
    asking.close()
