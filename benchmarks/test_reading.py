"""Reading images with one worker and with two, and a table of half a million rows: `make bench`.

    python benchmarks/test_reading.py      a line for each kind of image, best of three

The ratio is also printed: two workers should read at least 1.7 times as many images as one.
"""

from __future__ import annotations

import io
import itertools
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from pairaug.pair import Report
from pairaug.readers.normalize import RawRecord, RecordNormalizer
from pairaug.readers.splits import SplitFractions
from pairaug.stage import RunContext
from pairaug.system.memory import keep_freed_memory

KINDS = ("png", "png-16-bit", "jpeg", "tiff", "dicom", "dicom-jpeg-2000")
_SIDE = 2048


def encoded(kind: str) -> bytes:
    """An image of 2048 pixels a side, smooth with noise in 12 bits, as images are."""
    row, column = np.mgrid[0:_SIDE, 0:_SIDE]
    noise = np.random.default_rng(0).normal(0, 8, (_SIDE, _SIDE))
    levels = 1000 * np.sin(column / 300) * np.cos(row / 200) + 2000 + noise
    deep = levels.clip(0, 4095).astype(np.uint16)
    if kind.startswith("dicom"):
        return _dicom(deep, compressed=kind != "dicom")
    shallow = (deep >> 4).astype(np.uint8)
    opened = Image.fromarray(deep * 16 if kind == "png-16-bit" else shallow)
    buffer = io.BytesIO()
    name = {"jpeg": "JPEG", "tiff": "TIFF"}.get(kind, "PNG")
    opened.save(buffer, name, **({"compression": "tiff_lzw"} if kind == "tiff" else {}))
    return buffer.getvalue()


def _dicom(stored: np.ndarray, *, compressed: bool) -> bytes:
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from pydicom.uid import JPEG2000Lossless

    from support.dicom_images import dataset_of, saved

    dataset = dataset_of(stored, WindowCenter=2048, WindowWidth=4096)
    return saved(dataset, JPEG2000Lossless if compressed else None)


def read(folder: Path, kind: str, num_images: int, num_workers: int) -> float:
    """Seconds for `num_images` of a longer list, from when all workers are at work."""
    normalizer = RecordNormalizer("table", "images", folder, SplitFractions())
    first = 32 if kind == "dicom-jpeg-2000" else 200
    items = (
        RawRecord(f"row {index}", str(index), Report("Clear."), Path(f"image.{kind}"))
        for index in itertools.count()
    )
    reading = normalizer.pairs(items, RunContext(seed=0, num_workers=num_workers))
    assert isinstance(reading, Generator)
    with closing(reading) as pairs:
        assert all(pair.drop is None for pair in itertools.islice(pairs, first))
        started = time.perf_counter()
        assert all(pair.drop is None for pair in itertools.islice(pairs, num_images))
        return time.perf_counter() - started


@pytest.fixture(scope="module", params=KINDS)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    (folder / f"image.{request.param}").write_bytes(encoded(request.param))
    return folder / f"image.{request.param}"


@pytest.mark.parametrize("num_workers", [1, 2])
def test_read_48_images(benchmark: BenchmarkFixture, image: Path, num_workers: int) -> None:
    kind = image.suffix[1:]
    benchmark.pedantic(read, (image.parent, kind, 48, num_workers), rounds=3)


def main() -> None:
    """Prints images a second with one worker and with two, and their ratio."""
    keep_freed_memory()  # as the command does
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as name:
            folder, num_images = Path(name), 32 if kind == "dicom-jpeg-2000" else 400
            (folder / f"image.{kind}").write_bytes(encoded(kind))
            seconds = {1: float("inf"), 2: float("inf")}
            # In turns, so that what else the machine does falls on both.
            for _ in range(3):
                for workers in seconds:
                    spent = read(folder, kind, num_images, workers)
                    seconds[workers] = min(seconds[workers], spent)
        rates = [num_images / seconds[workers] for workers in seconds]
        sys.stdout.write(
            f"{kind:<16}{rates[0]:7.1f} {rates[1]:7.1f} images/s  {rates[1] / rates[0]:.2f}\n"
        )


if __name__ == "__main__":
    main()
