"""Checks that a language model's server answers, before any text is sent to it."""

from __future__ import annotations

import asyncio

from pairaug.errors import BackendError
from pairaug.rewrite.completion import BadAnswerError
from pairaug.rewrite.endpoints import open_client
from pairaug.rewrite.event_loop import EventLoopThread
from pairaug.rewrite.opening import check_backend
from pairaug.rewrite.privacy import address_of, host_of
from pairaug.rewrite.settings import RewriteSettings
from pairaug.system.json_text import JSONTextError, parse_json

_SECONDS = 10.0


def look(settings: RewriteSettings) -> str:
    """The result of asking the server for its list of models, as a sentence.

    Raises `BackendError` if the server does not answer within seconds, or rejects the key. Any
    other answer counts as reachable: not every server has such a list.
    """
    check_backend(settings)
    # In a separate thread: in a notebook, this one already has a running loop.
    with EventLoopThread() as loop:
        return loop.run(_ask(settings))


async def _ask(settings: RewriteSettings) -> str:
    import openai

    from pairaug.rewrite.transport import Response

    name, host = address_of(settings)[0], host_of(settings)
    client = open_client(settings)
    try:
        async with asyncio.timeout(_SECONDS):
            response = await client.get("/models", cast_to=Response)
    except openai.APIStatusError as error:
        if error.status_code == 401:
            raise BackendError(
                f"{host} answers 401: the key is wrong; check what rewrite.api_key_env or "
                "rewrite.api_key_file names"
            ) from None
        return f"{host} answers without a list of models (status {error.status_code})"
    except BadAnswerError:
        return f"{host} answers; its list of models cannot be read"
    except (openai.APIConnectionError, TimeoutError):
        raise BackendError(
            f"{host} does not answer; start the language model's server, or correct {name}. "
            "Nothing was sent to it"
        ) from None
    finally:
        await client.close()
    return _in_words(response.content, settings, host)


def _in_words(content: bytes, settings: RewriteSettings, host: str) -> str:
    try:
        listed = parse_json(content)["data"]
        models = {str(one["id"]) for one in listed}
    except (JSONTextError, KeyError, TypeError):
        return f"{host} answers; its list of models cannot be read"
    wanted = settings.azure.deployment if settings.backend == "azure" else settings.model
    if wanted in models:
        return f"{host} answers, and has {wanted}"
    # Azure lists models, not deployments; other servers accept names that they do not list.
    return f"{host} answers; {wanted} is not among the {len(models)} models that it lists"
