"""Decides whether an address or a host name is local: this machine's or a private network's.

Private addresses are loopback, 10/8, 172.16/12, 192.168/16 and fc00::/7. Not private are addresses
shared by providers (100.64/10), link-local ones (169.254/16, where clouds serve metadata), and
0.0.0.0.
"""

from __future__ import annotations

import re
import socket
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

from pairaug.errors import BackendError, SettingsError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_PRIVATE: tuple[Network, ...] = (
    *_LOOPBACK,
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("fc00::/7"),
)
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_NUMBER = re.compile(r"(?:\d+|0x[0-9a-f]*)")


def host_in(url: str) -> str | None:
    """The host of an address in lower case, without a final dot; None without a valid host.

    Numbers other than a standard address are invalid: libraries read `134744072`, `0x08080808` and
    `127.1` as addresses, in different ways.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".").lower()
        _ = parts.port  # raises if it is not a number
    except ValueError:
        return None
    if parts.scheme not in ("http", "https"):
        return None
    if address_in(host) is not None:
        return host
    is_number = _NUMBER.fullmatch(host.rpartition(".")[2]) is not None
    return host if _NAME.fullmatch(host) and not is_number else None


def address_in(text: str) -> Address | None:
    """The address in a text; for an IPv4-mapped IPv6 address, the IPv4 address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def network_in(text: str) -> Network | None:
    """The network in a text; an address is a network of one."""
    address = address_in(text)
    if address is not None:
        return ip_network(address)
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def is_private(where: Network | Address) -> bool:
    """True if the whole network is of this machine or private."""
    return _is_in(where, _PRIVATE)


def is_localhost(host: str) -> bool:
    """True for `localhost` and its subdomains, which must be this machine."""
    return host == "localhost" or host.endswith(".localhost")


def resolve_host(host: str) -> list[str]:
    """The addresses of a host that counts as local.

    Raises `SettingsError` if one of them is not private or, for `localhost` and its subdomains, not
    this machine's; `BackendError` without an address.
    """
    address = address_in(host)
    if address is not None:
        return [str(address)]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BackendError(
            f"{host} cannot be resolved to an address; check the name in rewrite.base_url"
        ) from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    allowed = _LOOPBACK if is_localhost(host) else _PRIVATE
    for text in addresses:
        one = address_in(text)
        if one is None or not _is_in(one, allowed):
            what = "of this machine" if is_localhost(host) else "private"
            raise SettingsError(
                f"{host} counts as local, but its address {text} is not {what}; nothing was sent. "
                "Correct rewrite.local_hosts, or set rewrite.allow_remote and rewrite.data_policy"
            )
    return addresses


def _is_in(where: Network | Address, networks: tuple[Network, ...]) -> bool:
    network = where if isinstance(where, IPv4Network | IPv6Network) else ip_network(where)
    first, last = int(network.network_address), int(network.broadcast_address)
    return any(
        one.version == network.version
        and int(one.network_address) <= first
        and last <= int(one.broadcast_address)
        for one in networks
    )
