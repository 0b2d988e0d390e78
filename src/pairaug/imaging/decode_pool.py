"""Images decoded by several processes, in the order in which they were listed.

Processes, and not threads: copying pixels, taking DICOM headers apart and the decoders of JPEG 2000
hold the interpreter's lock. They are handed several images at a time, since an image of a few
milliseconds is not worth a message of its own.
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
"""Of images that have no file, which are sent along; so that memory is bounded."""


class Decoders:
    """The processes; used as a context, which ends them."""

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
        """Each item, in order, with what its image is, or with what came of looking at it.

        One worker is this process itself; several begin with the first image, and have two batches
        each under way. An error in listing is raised where its item would have come, whatever the
        number of workers.
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
            # A caller that wants no more pairs does not wait for images that nobody will see.
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
    """Items that are handed over together."""

    items: list[tuple[Item, bool]] = field(default_factory=list)
    """Each with whether it has an image."""
    images: list[Path | bytes] = field(default_factory=list)
    num_bytes: int = 0
    future: Future[list[InspectionResult]] | None = None
    failure: Exception | None = None
    """What listing the next item raised."""

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
            # A decoder in C fell over one of the images, or over one of another batch.
            return _one_by_one(self.images)


def _batches(items: Iterable[tuple[Item, Path | bytes | None]]) -> Iterator[_DecodeBatch[Item]]:
    """Items in batches: of one at first, so that all processes begin at once, and then of more."""
    source, batch, most = iter(items), _DecodeBatch[Item](), 1
    while True:
        try:
            batch.add(*next(source))
        except StopIteration:
            break
        # Raised by the batch, once everything before it has been handed over.
        except Exception as error:  # noqa: BLE001
            batch.failure = error
            break
        if len(batch.items) == most or batch.num_bytes >= _MAX_BYTES:
            yield batch
            batch, most = _DecodeBatch(), min(2 * most, _MAX_IMAGES)
    yield batch


def _one_by_one(images: Sequence[Path | bytes]) -> list[InspectionResult]:
    """`images` in a process that takes one after the other, replaced whenever it falls."""
    outcomes: list[InspectionResult] = []
    while len(outcomes) < len(images):
        with open_workers(1) as pool:
            try:
                for image in images[len(outcomes) :]:
                    outcomes += pool.submit(inspect_all, [image]).result()
            except BrokenProcessPool:
                outcomes.append(ImageError("the decoder breaks down on the image"))
    return outcomes
