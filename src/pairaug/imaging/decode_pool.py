"""Images decoded by several processes, in the order of the list.

Processes instead of threads, since copying pixels, parsing DICOM headers and JPEG 2000 decoders
hold the interpreter's lock. Images are sent in batches, since decoding one takes milliseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from loky import ProcessPoolExecutor

from pairaug.imaging.files import ImageError
from pairaug.imaging.inspect import InspectionResult, inspect_all
from pairaug.system.workers import open_workers

Item = TypeVar("Item")

_MAX_IMAGES = 16
_MAX_BYTES = 4 << 20
"""Per batch, of images without a file, which are sent to the process; bounds the memory."""


class Decoders:
    """The decoding processes; a context manager that ends them."""

    def __init__(self, num_workers: int) -> None:
        self._num_workers = num_workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def inspect_in_order(
        self, items: Iterable[tuple[Item, Path | bytes | None]]
    ) -> Iterator[tuple[Item, InspectionResult | None]]:
        """Each item, in order, with the check of its image or the error from it; None without one.

        One worker is this process itself; several start with the first image, and have two batches
        each in flight. An error while listing is raised in its item's position, for any number of
        workers.
        """
        if self._num_workers == 1:
            for item, image in items:
                yield item, inspect_all([image])[0] if image is not None else None
            return
        waiting: deque[_DecodeBatch[Item]] = deque()
        try:
            for batch in _batches(items):
                if batch.images:
                    batch.future = self._submit(batch.images)
                waiting.append(batch)
                if len(waiting) > 2 * self._num_workers:
                    yield from waiting.popleft().results()
            while waiting:
                yield from waiting.popleft().results()
        finally:
            # A caller that stops early does not wait for the remaining images.
            for batch in waiting:
                batch.cancel()

    def _submit(self, images: Sequence[Path | bytes]) -> Future[list[InspectionResult]]:
        try:
            if self._pool is not None:
                return self._pool.submit(inspect_all, images)
        except BrokenProcessPool:
            pass
        self._pool = open_workers(self._num_workers)
        return self._pool.submit(inspect_all, images)


@dataclass(slots=True)
class _DecodeBatch(Generic[Item]):
    """Items that are sent to a process together."""

    items: list[tuple[Item, bool]] = field(default_factory=list)
    """(item, True if it has an image)."""
    images: list[Path | bytes] = field(default_factory=list)
    num_bytes: int = 0
    future: Future[list[InspectionResult]] | None = None
    failure: Exception | None = None
    """The error from listing the next item."""

    def add(self, item: Item, image: Path | bytes | None) -> None:
        self.items.append((item, image is not None))
        if image is not None:
            self.images.append(image)
            self.num_bytes += len(image) if isinstance(image, bytes) else 0

    def results(self) -> Iterator[tuple[Item, InspectionResult | None]]:
        outcomes = iter(self._outcomes())
        for item, has_image in self.items:
            yield item, next(outcomes) if has_image else None
        if self.failure is not None:
            raise self.failure

    def cancel(self) -> None:
        if self.future is not None:
            self.future.cancel()

    def _outcomes(self) -> list[InspectionResult]:
        try:
            return self.future.result() if self.future is not None else []
        except BrokenProcessPool:
            # A native decoder crashed on one of the images, or on one of another batch.
            return _one_by_one(self.images)


def _batches(items: Iterable[tuple[Item, Path | bytes | None]]) -> Iterator[_DecodeBatch[Item]]:
    """Items in batches: first of one, so that all processes start at once, then of more."""
    source, batch, most = iter(items), _DecodeBatch[Item](), 1
    while True:
        try:
            batch.add(*next(source))
        except StopIteration:
            break
        # Raised by the batch, after all items before it.
        except Exception as error:  # noqa: BLE001
            batch.failure = error
            break
        if len(batch.items) == most or batch.num_bytes >= _MAX_BYTES:
            yield batch
            batch, most = _DecodeBatch(), min(2 * most, _MAX_IMAGES)
    yield batch


def _one_by_one(images: Sequence[Path | bytes]) -> list[InspectionResult]:
    """Results of `images`, decoded one by one in a process that is replaced when it crashes."""
    outcomes: list[InspectionResult] = []
    while len(outcomes) < len(images):
        with open_workers(1) as pool:
            try:
                for image in images[len(outcomes) :]:
                    outcomes += pool.submit(inspect_all, [image]).result()
            except BrokenProcessPool:
                outcomes.append(ImageError("the decoder crashes on the image"))
    return outcomes
