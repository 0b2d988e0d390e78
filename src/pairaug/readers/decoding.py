"""Films decoded by several workers, in the order in which they were listed.

Threads do it: the decoders of PNG, JPEG and TIFF, hashing and arithmetic let other threads run. The
decoders of compressed DICOM do not, so the first such film starts as many processes.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from threading import Lock
from typing import TypeVar

from pairaug.dicom import is_slow
from pairaug.errors import DataError
from pairaug.examine import Examined, examine

Item = TypeVar("Item")
Done = TypeVar("Done")


class Decoders:
    """The workers; used as a context, which ends them."""

    def __init__(self, num_workers: int) -> None:
        self._num_workers = num_workers
        self._threads = ThreadPoolExecutor(num_workers, "films")
        self._processes: ProcessPoolExecutor | None = None
        self._lock = Lock()

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, *exception: object) -> None:
        # A caller that wants no more pairs does not wait for films that nobody will see.
        self._threads.shutdown(cancel_futures=True)
        if self._processes is not None:
            self._processes.shutdown(cancel_futures=True)

    def in_order(
        self, items: Iterable[Item], work: Callable[[Item], Callable[[], Done]]
    ) -> Iterator[Done]:
        """What is made of each item, in order.

        `work` is called for each item in this thread, in order, and returns what a worker calls.
        Some four items a worker are under way, so that memory is bounded. An error in listing or
        in a worker is raised where its item would have come, whatever the number of workers.
        """
        waiting: deque[Future[Done]] = deque()
        source, failure = iter(items), None
        while failure is None:
            try:
                job = work(next(source))
            except StopIteration:
                break
            # Raised below, once everything before it has been handed over.
            except Exception as error:  # noqa: BLE001
                failure = error
                break
            waiting.append(self._threads.submit(job))
            if len(waiting) > 4 * self._num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if failure is not None:
            raise failure

    def examine(self, content: bytes, suffix: str, *, keep: bool) -> Examined:
        """As `pairaug.examine.examine`; called by the threads."""
        if self._num_workers == 1 or not is_slow(content):
            return examine(content, suffix, keep=keep)
        pool = self._pool()
        try:
            return pool.submit(examine, content, suffix, keep=keep).result()
        except BrokenProcessPool:
            # A decoder in C fell over this film, or over another one at the same time.
            self._forget(pool)
            return _examine_alone(content, suffix, keep=keep)

    def _pool(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._processes is None:
                self._processes = ProcessPoolExecutor(self._num_workers, _spawning())
            return self._processes

    def _forget(self, pool: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._processes is pool:
                self._processes = None
        pool.shutdown(wait=False)


def _examine_alone(content: bytes, suffix: str, *, keep: bool) -> Examined:
    with ProcessPoolExecutor(1, _spawning()) as pool:
        try:
            return pool.submit(examine, content, suffix, keep=keep).result()
        except BrokenProcessPool:
            raise DataError("the decoder breaks down on the image") from None


def _spawning() -> multiprocessing.context.SpawnContext:
    # Forking would copy the locks of threads that go on holding them.
    return multiprocessing.get_context("spawn")
