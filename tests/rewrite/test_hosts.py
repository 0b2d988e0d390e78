"""Local addresses are recognized in every notation."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from pairaug.errors import BackendError, SettingsError
from pairaug.pair import Pair
from pairaug.rewrite import RewriteSettings
from pairaug.rewrite.hosts import host_in, resolve_host
from pairaug.rewrite.privacy import is_local
from support.chat import ChatServer, Reply

MakePair = Callable[..., Pair]
SOURCE = "Small left pleural effusion. No pneumothorax."
REVERSED = "No pleural effusion. Large right pneumothorax."


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names → their addresses; no other name server is used."""
    known: dict[str, list[str]] = {}

    def look_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror("no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


@pytest.mark.parametrize(
    "url",
    [
        "http://134744072/v1",
        "http://0x08080808/v1",
        "http://0x7f.0.0.1/v1",
        "http://127.1/v1",
        "http://0177.0.0.1/v1",
        "http://127.0.0.1%2eexample.com/v1",
        "http://１２７.0.0.1/v1",
        "http://[fe80::1%eth0]/v1",
        "http://[::1/v1",
        "http://host:port/v1",
        "ftp://127.0.0.1/v1",
        "http:///v1",
    ],
)
def test_an_ambiguous_address_is_invalid(url: str):
    assert host_in(url) is None


@pytest.mark.parametrize(
    ("listed", "url", "expected"),
    [
        ("localhost", "http://localhost.:8000/v1", True),
        ("127.0.0.0/8", "http://127.0.0.1.:8000/v1", True),
        ("127.0.0.0/8", "http://[::ffff:127.0.0.1]:8000/v1", True),
        ("127.0.0.0/8", "http://[::ffff:8.8.8.8]:8000/v1", False),
        ("fd00::/8", "http://[fd12::1]:8000/v1", True),
        ("localhost", "http://localhost.example.com/v1", False),
        ("ai", "http://ai/v1", True),  # until it is resolved
    ],
)
def test_listed_hosts(listed: str, url: str, expected: bool):
    settings = RewriteSettings(backend="openai", model="m", base_url=url, local_hosts=(listed,))
    assert is_local(settings) is expected


@pytest.mark.parametrize(
    "listed",
    [
        "0.0.0.0", "0.0.0.0/8", "169.254.169.254", "169.254.0.0/16", "100.64.0.0/10", "100.64.0.1",
        "::ffff:8.8.8.8", "::", "fe80::/10", "64:ff9b::/96", "198.18.0.0/15", "240.0.0.0/4",
        "172.32.0.0/16", "10.0.0.0/7", "134744072", "0x08080808", "api.example.com.", "a b",
    ],
)  # fmt: skip
def test_shared_reserved_or_public_addresses_cannot_be_listed(listed: str):
    settings = RewriteSettings(backend="openai", model="m", local_hosts=(listed,))
    with pytest.raises(SettingsError, match=r"rewrite\.local_hosts names"):
        is_local(settings)


@pytest.mark.parametrize(
    ("host", "found", "is_ok"),
    [
        ("ai", ["10.0.0.7"], True),
        ("ai", ["fd00::7"], True),
        ("ai", ["8.8.8.8"], False),
        ("ai", ["10.0.0.7", "8.8.8.8"], False),
        ("ai", ["100.64.0.1"], False),
        ("ai", ["169.254.169.254"], False),
        ("ai", ["::ffff:8.8.8.8"], False),
        ("localhost", ["127.0.0.1", "::1"], True),
        ("localhost", ["10.0.0.7"], False),
        ("x.localhost", ["127.0.0.1"], True),
        ("x.localhost", ["192.168.0.7"], False),
        ("llm.internal", ["192.168.0.7"], True),
    ],
)
def test_a_name_is_local_if_all_its_addresses_are(
    names: dict[str, list[str]], host: str, found: list[str], is_ok: bool
):
    names[host] = found
    if is_ok:
        assert resolve_host(host) == found
    else:
        with pytest.raises(SettingsError, match=rf"{host} counts as local, but its address"):
            resolve_host(host)


def test_an_unknown_name_is_an_error(names: dict[str, list[str]]):
    with pytest.raises(BackendError, match="gpu-01 cannot be resolved"):
        resolve_host("gpu-01")


@pytest.mark.parametrize("host", ["ai", "x.localhost"])
def test_nothing_is_sent_if_a_local_name_has_a_public_address(
    rewrite, chat_server: ChatServer, make_pair: MakePair, names: dict[str, list[str]], host: str
):
    names[host] = ["8.8.8.8"]
    url = chat_server.url.replace("127.0.0.1", host)
    with pytest.raises(SettingsError, match=r"its address 8\.8\.8\.8 is not"):
        rewrite([make_pair(SOURCE)], base_url=url, local_hosts=["localhost", host])
    assert chat_server.requests == []


def test_a_name_is_resolved_once_and_its_addresses_are_tried(
    rewrite, chat_server: ChatServer, make_pair: MakePair, names: dict[str, list[str]]
):
    names["gpu-01"] = ["127.0.0.99", "127.0.0.1"]  # no server listens at the first

    def answer(request: dict[str, Any], number: int) -> Reply:
        names["gpu-01"] = ["8.8.8.8"]  # the name's address from now on
        return Reply(REVERSED)

    chat_server.answer = answer
    url = chat_server.url.replace("127.0.0.1", "gpu-01")
    pairs = [make_pair(SOURCE), make_pair("Left effusion. No edema.", "b")]
    children = rewrite(pairs, base_url=url, local_hosts=["gpu-01"], branches=["inter"])
    assert len(children) == len(chat_server.requests) == 2
    assert chat_server.headers[0]["host"].startswith("gpu-01:")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_a_local_name_does_not_use_a_proxy(
    rewrite, chat_server: ChatServer, make_pair: MakePair, names: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch, name: str,
):  # fmt: skip
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    names["gpu-01"] = ["127.0.0.1"]
    chat_server.answer = lambda request, number: Reply(REVERSED)
    url = chat_server.url.replace("127.0.0.1", "gpu-01")
    (inter,) = rewrite(
        [make_pair(SOURCE)], base_url=url, local_hosts=["gpu-01"], branches=["inter"], retries=0
    )
    assert inter.drop is None
