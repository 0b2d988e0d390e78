"""HTTP transport to addresses that were resolved and found private, with a limit on answers.

Imported only when a client is opened: httpx2 comes with the client library.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import httpx2
from httpx2 import AsyncByteStream, Response

from pairaug.rewrite.completion import BadAnswerError

__all__ = ["PrivateTransport", "Response", "limit_response"]

MAX_ANSWER_BYTES = 1 << 22
"""Far above a rewritten report, a few hundred bytes, with the thoughts that a server adds."""


class PrivateTransport(httpx2.AsyncHTTPTransport):
    """Connects only to one host, at the addresses given.

    The name was resolved before, once: later answers of a name server have no effect.
    """

    def __init__(self, host: str, addresses: Sequence[str], verify: bool) -> None:
        limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
        super().__init__(verify=verify, limits=limits)
        self._host = host
        self._addresses = list(addresses)

    async def handle_async_request(self, request: httpx2.Request) -> Response:
        if request.url.host.rstrip(".").lower() != self._host:
            raise httpx2.ConnectError("the host is not the one in the settings", request=request)
        named = request.url
        # The headers keep the host's name, and certificates are checked against it.
        request.extensions = {**request.extensions, "sni_hostname": self._host}
        for address in tuple(self._addresses):
            request.url = named.copy_with(host=address)
            try:
                response = await super().handle_async_request(request)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if address == self._addresses[-1]:
                    raise
                continue
            finally:
                request.url = named
            if address != self._addresses[0]:
                self._addresses.remove(address)
                self._addresses.insert(0, address)
            return response
        raise httpx2.ConnectError("no address", request=request)


async def limit_response(response: Response) -> None:
    """Limits the size of a response; a hook of the client."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise BadAnswerError("packed")
    response.stream = _Bounded(response.stream)


class _Bounded(AsyncByteStream):
    """A stream that raises `BadAnswerError` if it breaks or grows too large."""

    def __init__(self, stream: object) -> None:
        assert isinstance(stream, AsyncByteStream)
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        num_bytes = 0
        try:
            async for piece in self._stream:
                num_bytes += len(piece)
                if num_bytes > MAX_ANSWER_BYTES:
                    raise BadAnswerError("too large")
                yield piece
        except httpx2.TimeoutException:
            raise
        except httpx2.TransportError as error:
            raise BadAnswerError("broken off") from error

    async def aclose(self) -> None:
        await self._stream.aclose()
