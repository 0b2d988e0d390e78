"""A language model in this process: gathers the requests of many tasks into batches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from pairaug.rewrite.backends import Failure
from pairaug.rewrite.budget import Tab
from pairaug.rewrite.cache import Usage
from pairaug.rewrite.causal_model import CausalModel, GeneratedText
from pairaug.rewrite.completion import Completion, cut
from pairaug.rewrite.reasons import Reason

_SECONDS_TO_FILL = 0.05
"""Seconds that a partial batch waits for more requests."""


class LocalModel:
    """Gathers requests into batches. Schemas are not supported: an answer can be any text."""

    host = "this process"
    takes_schema = False
    num_sent = 0

    def __init__(self, loaded: CausalModel, name: str, sha256: str, batch_size: int) -> None:
        self.model = name
        self.location = f"weights {sha256}"
        # A second batch gathers while the first is computed.
        self.concurrency = 2 * batch_size
        self._loaded = loaded
        self._batch_size = batch_size
        self._waiting: list[_WaitingPrompt] = []
        self._working: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pairaug-model")

    async def complete(self, body: Mapping[str, Any], key: str, tab: Tab) -> Completion | Failure:
        """The answer to a request, once its batch is done."""
        del key
        tab.reserve()
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_WaitingPrompt(body, done))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        found: GeneratedText = await done
        if found.text is None:
            tab.settle()
            why = f"its {found.num_tokens_in} tokens do not fit the model's window"
            return Failure(why, Reason.CONTEXT_LENGTH)
        tab.settle(Usage(1, found.num_tokens_in, found.num_tokens_out))
        if found.is_cut:
            return cut(found.text, f"after {found.num_tokens_out} tokens (rewrite.max_tokens)")
        if not found.text.strip():
            return Failure("an empty answer", Reason.EMPTY_ANSWER, again=True)
        return Completion(found.text)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            if len(self._waiting) < self._batch_size:
                await asyncio.sleep(_SECONDS_TO_FILL)
            batch = self._waiting[: self._batch_size]
            del self._waiting[: self._batch_size]
            try:
                texts = await loop.run_in_executor(self._thread, self._texts, batch)
            except BaseException as error:  # on any error, waiting tasks must be released
                for one in (*batch, *self._waiting):
                    if not one.done.done():
                        one.done.set_exception(error)
                self._waiting.clear()
                if not isinstance(error, Exception):
                    raise
            else:
                for one, text in zip(batch, texts, strict=True):
                    if not one.done.done():
                        one.done.set_result(text)

    def _texts(self, batch: Sequence[_WaitingPrompt]) -> list[GeneratedText]:
        first = batch[0].body
        return self._loaded.generate(
            [one.body["messages"] for one in batch],
            [one.body["seed"] for one in batch],
            first["temperature"],
            first["top_p"],
            first["max_tokens"],
        )

    async def close(self) -> None:
        """Keeps the model loaded, for the next part."""
        self._thread.shutdown(cancel_futures=True)


class _WaitingPrompt(NamedTuple):
    """A request with the future for its answer."""

    body: Mapping[str, Any]
    done: asyncio.Future[GeneratedText]
