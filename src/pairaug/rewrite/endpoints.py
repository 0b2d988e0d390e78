"""Clients for servers with OpenAI's interface, and the keys that open them.

Keys come from the environment or from a file, never from the settings.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from pairaug.errors import BackendError, MissingExtraError
from pairaug.rewrite.privacy import address_of, host_of, is_local, private_addresses
from pairaug.rewrite.settings import RewriteSettings

_KEY_VARIABLES = {"openai": "OPENAI_API_KEY", "azure": "AZURE_OPENAI_API_KEY"}


class _NoRequestText(logging.Filter):
    """Drops the client library's log below warnings: at debug level it logs whole requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING


def open_client(settings: RewriteSettings) -> Any:
    """An asynchronous client of the `openai` package for the server in the settings."""
    try:
        import openai
    except ImportError as error:
        what = f"rewriting with backend {settings.backend}"
        raise MissingExtraError(what, "openai", "llm") from error
    for name in ("openai._base_client", "openai._response", "openai._legacy_response"):
        logger = logging.getLogger(name)
        if not any(isinstance(known, _NoRequestText) for known in logger.filters):
            logger.addFilter(_NoRequestText())
    shared: dict[str, Any] = {
        "timeout": settings.timeout_seconds,
        "max_retries": 0,  # the backend retries, since it also checks and stores answers
        "default_headers": {
            "Accept-Encoding": "identity"
        },  # a compressed answer would evade the size limit
        "http_client": _http_client(settings),
    }
    if settings.backend == "azure":
        return _azure_client(settings, shared)
    return openai.AsyncOpenAI(
        base_url=settings.base_url, api_key=_key(settings) or "none", **shared
    )


def _http_client(settings: RewriteSettings) -> Any:
    import openai

    from pairaug.rewrite.transport import PrivateTransport, limit_response

    options: dict[str, Any] = {
        "timeout": settings.timeout_seconds,
        "follow_redirects": False,
        "event_hooks": {"response": [limit_response]},
    }
    # Plain HTTP has nothing to verify, and loading certificates takes time.
    verify = is_encrypted(settings)
    if is_local(settings):
        # No proxy, and only addresses of this machine or of a private network.
        transport = PrivateTransport(host_of(settings), private_addresses(settings), verify)
        return openai.DefaultAsyncHttpxClient(trust_env=False, transport=transport, **options)
    return openai.DefaultAsyncHttpxClient(verify=verify, **options)


async def post(client: Any, body: Mapping[str, Any], key: str) -> bytes:
    """The body of the response to a chat completion. Raises `BadAnswerError`, or the client's."""
    from pairaug.rewrite.transport import Response

    # Not `chat.completions.create`: it spends most of its time on converting the request and the
    # answer to typed objects.
    options = {"idempotency_key": key}
    response = await client.post("/chat/completions", body=body, cast_to=Response, options=options)
    return response.content


def _azure_client(settings: RewriteSettings, shared: dict[str, Any]) -> Any:
    import openai

    token = _token_provider(settings)
    # An Entra token takes precedence and is sufficient: many tenants do not allow keys.
    opened_by: dict[str, Any] = (
        {"azure_ad_token_provider": token} if token else {"api_key": _key(settings)}
    )
    assert settings.azure.endpoint is not None
    return openai.AsyncAzureOpenAI(
        azure_endpoint=settings.azure.endpoint,
        azure_deployment=settings.azure.deployment,
        api_version=settings.azure.api_version,
        **opened_by,
        **shared,
    )


def _token_provider(settings: RewriteSettings) -> Callable[[], Awaitable[str]] | None:
    """A function that returns the Entra token for each request; None without a token."""
    file, variable = settings.azure.token_file, settings.azure.token_env
    if file is None and not os.environ.get(variable):
        return None

    async def token() -> str:
        return _text_of(file, "rewrite.azure.token_file") if file else os.environ[variable]

    if file is not None:
        _text_of(file, "rewrite.azure.token_file")  # fail now rather than at the first request
    return token


def _key(settings: RewriteSettings) -> str | None:
    """The key; None for a local server without one."""
    if settings.api_key_file is not None:
        return _text_of(settings.api_key_file, "rewrite.api_key_file")
    variable = settings.api_key_env or _KEY_VARIABLES[settings.backend]
    key = os.environ.get(variable)
    if key or (settings.backend == "openai" and is_local(settings)):
        return key
    token = ""
    if settings.backend == "azure":
        token = f", or {settings.azure.token_env} an Entra token"
    raise BackendError(
        f"the environment variable {variable} is not set; it must hold the key for "
        f"{host_of(settings)}{token} (rewrite.api_key_env names another variable, "
        "rewrite.api_key_file a file)"
    )


def _text_of(path: Path, setting: str) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    # A key is one word; anything else is a wrong file, which would be sent as a header.
    if len(text.split()) != 1:
        raise BackendError(
            f"{setting} names {path}, which does not contain a key; write only the key to it"
        )
    return text


def is_encrypted(settings: RewriteSettings) -> bool:
    """True if the server is reached over TLS."""
    return address_of(settings)[1].lower().startswith("https:")


def endpoint_of(settings: RewriteSettings) -> str:
    """The model's address, for the keys of its answers and for messages."""
    if settings.backend == "azure":
        own = settings.azure
        return f"{own.endpoint}#{own.deployment}#{own.api_version}"
    return address_of(settings)[1]
