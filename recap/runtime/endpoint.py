"""Which addresses models may be asked at, and the key that such a server asks for.

A judge is asked on this machine, or over https at hosts that the settings name
(``check_endpoint``); servers of weights on this machine or in a private network
(``check_private``). Never link-local or metadata addresses, whatever a name resolves to; nothing
hidden in the address. A name is looked up once, before the first question; that it still means the
same server later is for the server's certificate or the network to show.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from recap.errors import ParameterError

METADATA = {
    ip_address(address)
    for address in ("169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254")
}
"""Where clouds hand out a machine's credentials; not all of them are link-local."""

Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Sequence[str]]


def addresses(host: str) -> list[str]:
    """What a host's name resolves to; empty when it does not."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, None)]
    except OSError:
        return []


def check_endpoint(base_url: str, hosts: Sequence[str], resolve: Resolve = addresses) -> str:
    """``base_url`` without a slash at its end; raises ParameterError if it may not be asked."""
    said = "judge.api.base_url"
    keys = "one with; keys go into an environment variable, named in judge.api.key"
    scheme, host = _parts(base_url, said, keys)
    local = host == "localhost" or _is_loopback(host)
    if not local and (scheme != "https" or host not in {name.lower() for name in hosts}):
        raise _refusal(
            said,
            "this machine (127.0.0.1, ::1, localhost) or, over https, one of judge.api.hosts",
            f"{scheme}://{host}",
        )
    for address in map(_unwrapped, resolve(host)):
        if _forbidden(address) or (host == "localhost" and not address.is_loopback):
            raise _refusal(
                said, "no link-local, metadata or reserved address", f"{host} at {address}"
            )
    return base_url.rstrip("/")


def check_private(url: str, said: str, resolve: Resolve = addresses) -> str:
    """``url`` without a slash at its end; raises ParameterError unless it is in a private network.

    Every address of its host has to be this machine's or one that no other network reaches
    (RFC 1918, RFC 4193). ``said`` names the place that has the URL, for messages.
    """
    scheme, host = _parts(url, said, "one with; the key goes into a variable of its own")
    found = list(map(_unwrapped, resolve(host)))
    if not found:
        raise _refusal(said, "a host whose name resolves", f"{scheme}://{host}")
    for address in found:
        if _forbidden(address) or not address.is_private:
            raise _refusal(
                said,
                "this machine or an address of a private network",
                f"{host} at {address}; reach others through a tunnel (`ssh -L`)",
            )
    return url.rstrip("/")


def key_of(variable: str, server: str, without: str) -> str:
    """The key in an environment variable; raises ParameterError where it has none.

    ``server`` asks for the key; ``without`` says what else to do, both for the message.
    """
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ParameterError(
            f"Expected the key of {server} in the environment variable {variable}, got none (or "
            f"one with odd characters). Set it{without}."
        )
    return key


def _parts(url: str, said: str, secret: str) -> tuple[str, str]:
    """Scheme and host of an address without anything that could hold a secret."""
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise _refusal(said, "an address", f"one that cannot be read ({error})") from None
    if parts.scheme not in ("http", "https") or not host:
        raise _refusal(
            said, "http://… or https://…", f"the scheme '{parts.scheme}' and host '{host}'"
        )
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise _refusal(said, "an address without user, password, query or fragment", secret)
    return parts.scheme, host


def _is_loopback(host: str) -> bool:
    try:
        return _unwrapped(host).is_loopback
    except ValueError:
        return False


def _unwrapped(address: str) -> Address:
    """The address, that of IPv4 where IPv6 only wraps it, without a zone."""
    found = ip_address(address.partition("%")[0])
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _forbidden(address: Address) -> bool:
    if address.is_loopback:
        return False
    return (
        address in METADATA
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    )


def _refusal(said: str, expected: str, got: str) -> ParameterError:
    return ParameterError(f"{said}: expected {expected}, got {got}. Correct it.")
