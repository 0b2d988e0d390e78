"""An event loop in a separate thread, so that a synchronous stream of pairs can wait on async work.

It also works in notebooks, where the calling thread already has a running loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Thread
from types import TracebackType
from typing import Any, TypeVar

Result = TypeVar("Result")


class EventLoopThread:
    """A context for running coroutines; unfinished ones are cancelled at its end."""

    def __enter__(self) -> EventLoopThread:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="pairaug-rewrite", daemon=True)
        self._thread.start()
        return self

    def submit(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Start `work`; the future returns its result or raises its exception."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for `work` and return its result."""
        return self.submit(work).result()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.run(self._cancel_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel_rest(self) -> None:
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
