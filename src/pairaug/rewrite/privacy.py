"""Whether report text may leave this machine. The default is no."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from pairaug.errors import SettingsError
from pairaug.rewrite.settings import RewriteSettings

_LOCAL = "a server on this machine (vLLM, llama.cpp, Ollama) or backend: rules"
_PHYSIONET = (
    "PhysioNet's data use agreement forbids sending credentialed text to others "
    "(physionet.org/news/post/llm-responsible-use)"
)


def is_loopback(base_url: str) -> bool:
    """True where the server runs on this machine, by name or address; nothing is looked up."""
    host = _host(base_url)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_if_remote(settings: RewriteSettings) -> None:
    """Raise `SettingsError` unless the server is local, or the settings let this text leave."""
    if is_loopback(settings.base_url):
        return
    host = _host(settings.base_url)
    if settings.data_policy == "credentialed":
        raise SettingsError(
            f"rewrite.base_url is {host}, not this machine, and rewrite.data_policy is "
            f"credentialed: {_PHYSIONET}; use {_LOCAL}"
        )
    if not settings.allow_remote:
        raise SettingsError(
            f"rewrite.base_url would send report text to {host}; use {_LOCAL}, or set "
            "rewrite.allow_remote: true and rewrite.data_policy: public or zero-retention"
        )
    if settings.data_policy is None:
        raise SettingsError(
            f"rewrite.base_url would send report text to {host} and rewrite.data_policy is not "
            f"set; set it to public or zero-retention. {_PHYSIONET}"
        )


def refuse_source(settings: RewriteSettings, access: str) -> None:
    """Raise `SettingsError` where credentialed text would go to a server that may keep it."""
    is_kept = settings.data_policy != "zero-retention"
    if access == "credentialed" and is_kept and not is_loopback(settings.base_url):
        raise SettingsError(
            f"read.access is credentialed and rewrite.base_url is {_host(settings.base_url)}: "
            f"{_PHYSIONET}; use {_LOCAL}"
        )


def _host(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(
            f"rewrite.base_url is {base_url!r}; give an address such as http://127.0.0.1:8000/v1"
        )
    return parts.hostname.lower()
