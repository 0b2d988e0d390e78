"""No test reaches another machine: connections that leave the loopback interface raise.

Loopback stays open: a test may run a server of its own.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Any

import pytest

# Read by the hub libraries when they are imported; without it they try, and wait.
os.environ.setdefault("HF_HUB_OFFLINE", "1")


class NetworkUsedError(RuntimeError):
    """A test tried to reach another machine."""


def _is_loopback(host: object) -> bool:
    if host in ("", "localhost", None):
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        # Unix sockets have a path for an address and never leave the machine.
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise NetworkUsedError(f"a test tried to connect to {address[0]}")
        connect(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if not _is_loopback(name):
            raise NetworkUsedError(f"a test tried to look up {name}")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
