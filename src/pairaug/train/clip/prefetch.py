"""Prefetches images in threads while a step is computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np


class Ahead:
    """The images of each step, fetched a few steps ahead; use as a context.

    Pillow and NumPy release the interpreter lock, so threads suffice. The number of threads does
    not change the images of a step.
    """

    def __init__(
        self,
        images: Callable[[np.ndarray], np.ndarray],
        positions: Callable[[int], np.ndarray],
        num_workers: int,
    ) -> None:
        self._images, self._positions, self._num_workers = images, positions, num_workers
        self._pool = ThreadPoolExecutor(num_workers)
        self._waiting: dict[int, list[Future[np.ndarray]]] = {}

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def images(self, step: int) -> np.ndarray:
        """uint8 images of a step, `image height width`."""
        for later in range(step, step + 3):
            if later not in self._waiting:
                # The images of a step in one piece per thread.
                pieces = np.array_split(self._positions(later), self._num_workers)
                self._waiting[later] = [
                    self._pool.submit(self._images, piece) for piece in pieces if len(piece)
                ]
        for earlier in [each for each in self._waiting if each < step]:
            del self._waiting[earlier]
        return np.concatenate([future.result() for future in self._waiting.pop(step)])
