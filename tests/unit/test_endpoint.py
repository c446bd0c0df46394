"""Who may be asked: this machine, named https hosts or a private network; nobody behind them."""

from __future__ import annotations

import pytest

from recap.errors import ParameterError
from recap.runtime.endpoint import addresses, check_endpoint, check_private

NAMES = {
    "judge.example": ["93.184.216.34", "2606:2800:220:1::1"],
    "inside.example": ["10.1.2.3"],
    "metadata.example": ["169.254.169.254"],
    "half.example": ["93.184.216.34", "fe80::1%eth0"],
    "wrapped.example": ["::ffff:169.254.1.2"],
    "cloud.example": ["100.100.100.200"],
    "nothing.example": [],
    "localhost": ["127.0.0.1", "::1"],
}


def check(url: str, *hosts: str) -> str:
    return check_endpoint(url, hosts, lambda host: NAMES.get(host, [host]))


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("http://127.0.0.1:8000/v1", ()),
        ("http://[::1]:8000/v1", ()),
        ("http://localhost/v1", ()),
        ("https://127.8.8.8/v1", ()),
        ("https://judge.example/v1", ("judge.example",)),
        ("https://Judge.Example/v1", ("judge.example",)),
        ("https://inside.example/v1", ("inside.example",)),
        ("https://nothing.example/v1", ("nothing.example",)),  # asking it will fail, and say so
    ],
)
def test_allowed(url: str, hosts: tuple[str, ...]) -> None:
    assert check(url + "/", *hosts) == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://other.example/v1", "https://other.example"),
        ("https://sub.judge.example/v1", "sub.judge.example"),
        ("http://judge.example/v1", "over https, one of judge.api.hosts, got http://judge.example"),
        ("http://10.1.2.3/v1", "http://10.1.2.3"),
        ("https://metadata.example/v1", "no link-local, metadata"),
        ("https://half.example/v1", "half.example at fe80::1"),
        ("https://wrapped.example/v1", "wrapped.example at 169.254.1.2"),
        ("https://cloud.example/v1", "cloud.example at 100.100.100.200"),
        ("https://169.254.169.254/v1", "169.254.169.254 at 169.254.169.254"),
        ("http://169.254.169.254/v1", "http://169.254.169.254"),
        ("http://0.0.0.0/v1", "http://0.0.0.0"),
        ("http://127.1/v1", "http://127.1"),  # other spellings of an address are names
        ("http://2130706433/v1", "http://2130706433"),
        ("https://user:secret@judge.example/v1", "without user, password"),
        ("https://judge.example/v1?key=secret", "without user, password, query"),
        ("ftp://judge.example/v1", "scheme 'ftp'"),
        ("https:///v1", "host ''"),
        ("https://judge.example:port/v1", "one that cannot be read"),
        ("http://127.0.0.1@judge.example/v1", "without user, password"),
    ],
)
def test_refused(url: str, said: str) -> None:
    hosts = [name for name in NAMES if name != "localhost"] + ["169.254.169.254"]
    with pytest.raises(ParameterError) as caught:
        check(url, *hosts)
    assert said in str(caught.value) and "secret" not in str(caught.value)


def test_localhost_has_to_be_this_machine() -> None:
    with pytest.raises(ParameterError, match=r"localhost at 10\.0\.0\.1"):
        check_endpoint("http://localhost/v1", (), lambda host: ["10.0.0.1"])


def test_names_are_looked_up() -> None:
    assert set(addresses("localhost")) & {"127.0.0.1", "::1"}
    assert addresses("name.invalid") == []


def private(url: str) -> str:
    return check_private(url, "RECAP_SERVERS", lambda host: NAMES.get(host, [host]))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000",
        "http://localhost:8000",
        "http://10.1.2.3:8000",
        "http://192.168.0.9",
        "https://inside.example:8000",
        "http://[fd00:1::2]:8000",
    ],
)
def test_servers_of_weights_are_in_a_private_network(url: str) -> None:
    assert private(url + "/") == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://judge.example", "private network, got judge.example at 93.184.216.34; reach"),
        ("http://8.8.8.8:8000", "8.8.8.8 at 8.8.8.8"),
        ("http://169.254.169.254", "169.254.169.254 at 169.254.169.254"),
        ("http://half.example", "half.example at 93.184.216.34"),
        ("http://metadata.example", "metadata.example at 169.254.169.254"),
        ("http://0.0.0.0:8000", "0.0.0.0 at 0.0.0.0"),
        ("http://nothing.example", "a host whose name resolves, got http://nothing.example"),
        ("http://user:secret@10.1.2.3", "the key goes into a variable of its own"),
        ("10.1.2.3:8000", "http://… or https://…"),
    ],
)
def test_others_are_refused_as_servers_of_weights(url: str, said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        private(url)
    assert str(caught.value).startswith("RECAP_SERVERS: expected ")
    assert said in str(caught.value) and "secret" not in str(caught.value)
