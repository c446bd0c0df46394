"""Which addresses a judge may be asked at: this machine, and https hosts that the settings name.

Never link-local or metadata addresses, whatever a name resolves to; nothing hidden in the address.
A name is looked up once, before the first question; that it still means the same server later is
for the server's certificate to show.
"""

from __future__ import annotations

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
    try:
        parts = urlsplit(base_url)
        host, _ = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise _refusal("an address", f"one that cannot be read ({error})") from None
    if parts.scheme not in ("http", "https") or not host:
        raise _refusal("http://… or https://…", f"the scheme '{parts.scheme}' and host '{host}'")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise _refusal(
            "an address without user, password, query or fragment",
            "one with; keys go into an environment variable, named in judge.api.key",
        )
    local = host == "localhost" or _is_loopback(host)
    if not local and (parts.scheme != "https" or host not in {name.lower() for name in hosts}):
        raise _refusal(
            "this machine (127.0.0.1, ::1, localhost) or, over https, one of judge.api.hosts",
            f"{parts.scheme}://{host}",
        )
    for address in map(_unwrapped, resolve(host)):
        if _forbidden(address) or (host == "localhost" and not address.is_loopback):
            raise _refusal("no link-local, metadata or reserved address", f"{host} at {address}")
    return base_url.rstrip("/")


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


def _refusal(expected: str, got: str) -> ParameterError:
    return ParameterError(f"judge.api.base_url: expected {expected}, got {got}. Correct it.")
