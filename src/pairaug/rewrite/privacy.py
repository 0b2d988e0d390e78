"""Decides whether report text may leave this machine. By default it may not.

A server is local if `local_hosts` names it and its addresses are of this machine or of a private
network; the name is resolved when a connection is opened (`hosts.py`).
"""

from __future__ import annotations

from pairaug.errors import SettingsError
from pairaug.rewrite.hosts import (
    address_in,
    host_in,
    is_localhost,
    is_private,
    network_in,
    resolve_host,
)
from pairaug.rewrite.settings import SERVERS, RewriteSettings

_LOCAL = (
    "a server on this machine (vLLM, llama.cpp, Ollama), backend: transformers or backend: rules"
)
_PHYSIONET = (
    "PhysioNet's data use agreement forbids sending credentialed text to others "
    "(physionet.org/news/post/llm-responsible-use)"
)
# Names that public DNS does not resolve (RFC 6761, RFC 6762, RFC 8375, ICANN's .internal).
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa")


def address_of(settings: RewriteSettings) -> tuple[str, str]:
    """The setting with the server's address: its name and value."""
    if settings.backend == "azure":
        return "rewrite.azure.endpoint", settings.azure.endpoint or ""
    return "rewrite.base_url", settings.base_url


def host_of(settings: RewriteSettings) -> str:
    """The host that receives report text, in lower case."""
    name, address = address_of(settings)
    host = host_in(address)
    if host is None:
        raise SettingsError(
            f"{name} is {address!r}; give an address such as http://127.0.0.1:8000/v1"
        )
    return host


def is_local(settings: RewriteSettings) -> bool:
    """True if the server is in `local_hosts`, by name or address; does not resolve names."""
    host = host_of(settings)
    return any(_matches(host, listed) for listed in settings.local_hosts)


def private_addresses(settings: RewriteSettings) -> list[str]:
    """The resolved addresses of a local server. Raises if one of them is not private."""
    return resolve_host(host_of(settings))


def refuse_if_remote(settings: RewriteSettings, access: str = "") -> None:
    """Raise `SettingsError` unless the server is local, or the settings let this text leave.

    `access` is the source's terms, if known; the message proposes settings that suit them.
    """
    if settings.backend not in SERVERS or is_local(settings):
        return
    host, (name, _) = host_of(settings), address_of(settings)
    if settings.data_policy == "credentialed":
        raise SettingsError(
            f"{name} is {host}, not a local server, and rewrite.data_policy is credentialed: "
            f"{_PHYSIONET}; use {_LOCAL}"
        )
    if not settings.allow_remote:
        raise SettingsError(
            f"{name} would send report text to {host}; use {_LOCAL}, name a private host in "
            f"rewrite.local_hosts, or set rewrite.allow_remote: true and {_policy_for(access)}"
        )
    if settings.data_policy is None:
        raise SettingsError(
            f"{name} would send report text to {host} and rewrite.data_policy is not set; "
            f"set {_policy_for(access)}. {_PHYSIONET}"
        )


def refuse_source(settings: RewriteSettings, access: str) -> None:
    """Raise `SettingsError` if credentialed text would go to a server that may keep it."""
    if settings.backend not in SERVERS or access != "credentialed" or is_local(settings):
        return
    if settings.data_policy != "zero-retention":
        raise SettingsError(
            f"read.access is credentialed and {address_of(settings)[0]} is {host_of(settings)}: "
            f"{_PHYSIONET}; use {_LOCAL}, or, for a server that keeps nothing, "
            f"{_policy_for(access)}"
        )


def _policy_for(access: str) -> str:
    """The setting under which a source's text may leave."""
    if access == "public":
        return "rewrite.data_policy: public"
    if access == "credentialed":
        return "rewrite.data_policy: zero-retention (read.access is credentialed)"
    return "rewrite.data_policy: zero-retention, or public where the reports are public"


def _matches(host: str, listed: str) -> bool:
    """True if `host` matches an entry of `local_hosts`, which must be private."""
    network = network_in(listed)
    if network is None:
        name = listed.rstrip(".").lower()
        is_usable = host_in(f"http://{name}") == name
        if not is_usable or ("." in name and not name.endswith(_PRIVATE_SUFFIXES)):
            raise SettingsError(
                f"rewrite.local_hosts names {listed!r}, which can resolve to any address; give "
                "the server's private address, or set rewrite.allow_remote and rewrite.data_policy"
            )
        return host == name or (name == "localhost" and is_localhost(host))
    if not is_private(network):
        raise SettingsError(
            f"rewrite.local_hosts names {listed}, which is not in a private network; set "
            "rewrite.allow_remote and rewrite.data_policy for a server elsewhere"
        )
    address = address_in(host)
    return address is not None and address.version == network.version and address in network
