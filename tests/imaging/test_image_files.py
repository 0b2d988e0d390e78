"""Image files from strangers: kinds, formats and sizes that are refused, in time and in memory."""

from __future__ import annotations

import io
import os
import socket
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pairaug.errors import DataError
from pairaug.imaging.files import ImageError, MissingImageError, open_image, read_image_file
from pairaug.imaging.io import load_image
from pairaug.pair import ImageRef

LEVELS = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)


def encoded(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(LEVELS).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
def test_formats_that_are_read(kind: str) -> None:
    assert np.array_equal(load_image(ImageRef(png=encoded(kind))) * 255, LEVELS)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 90}])
def test_webp_is_read(options: dict[str, Any]) -> None:
    image = load_image(ImageRef(png=encoded("WEBP", **options)))
    assert image.shape == (20, 30)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "PPM", "TGA", "ICO", "PCX", "SGI", "DDS"])
def test_other_formats_raise(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image.png"
    buffer = io.BytesIO()
    Image.fromarray(LEVELS).convert("RGB").save(buffer, kind)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ImageError, match="cannot be read"):
        load_image(ImageRef(path=str(path)))


def test_eps_does_not_start_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    path = tmp_path / "image.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(ImageError):
        load_image(ImageRef(path=str(path)))
    assert not (tmp_path / "started").exists()


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "to-pipe.png").symlink_to(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.png"))
        for name in ("pipe", "folder", "loop", "zero", "to-pipe", "socket"):
            with pytest.raises(ImageError) as caught:
                read_image_file(tmp_path / f"{name}.png")
            assert caught.value.reason == "unreadable_image"
            assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("name", ["gone.png", "file/image.png", "gone/image.png"])
def test_a_missing_file_has_its_own_reason(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MissingImageError, match="missing"):
        read_image_file(tmp_path / name)


@pytest.mark.parametrize("name", ["a\0.png", "x" * 300 + ".png", "\ud800.png"])
def test_impossible_file_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError):
        load_image(ImageRef(path=str(tmp_path / name)))


def test_a_link_to_a_regular_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(encoded("PNG"))
    (tmp_path / "link.png").symlink_to("image.png")
    assert load_image(ImageRef(path=str(tmp_path / "link.png"))).shape == (20, 30)


def test_trailing_bytes_are_ignored() -> None:
    for kind in ("PNG", "JPEG", "BMP", "GIF"):
        assert load_image(ImageRef(png=encoded(kind) + b"PK\3\4 and more")).shape == (20, 30)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"])
def test_cut_and_damaged_files(kind: str) -> None:
    content = encoded(kind)
    random = np.random.default_rng(1)
    for round_ in range(150):
        damaged = bytearray(content)
        if round_ % 3 == 0:
            damaged = damaged[: random.integers(len(damaged))]
        else:
            for position in random.integers(0, min(len(damaged), 200 if round_ % 2 else 10**9), 4):
                damaged[position] = random.integers(256)
        try:
            image = load_image(ImageRef(png=bytes(damaged)))
        except DataError:
            continue
        assert np.isfinite(image).all()


# Small files that would take much memory or time.


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + check


def _png_with(*chunks: bytes) -> bytes:
    content = encoded("PNG")
    position = content.index(b"IDAT") - 4
    return content[:position] + b"".join(chunks) + content[position:]


def _text_bomb() -> bytes:
    return _png_with(_chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(200 << 20), 9)))


def _many_texts() -> bytes:
    return _png_with(_chunk(b"tEXt", b"note\0x") * 2_000_000)


def _tiff(*entries: tuple[int, int, int, int], rest: bytes = b"") -> bytes:
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(4) + rest


def _one_place_named_often() -> bytes:
    """Ten thousand tags of ten megabytes each, which are the same ten."""
    size = 10 << 20
    tags = ((30_000 + number, 1, size, 200) for number in range(10_000))
    return _tiff((256, 3, 1, 30), (257, 3, 1, 20), *tags, rest=bytes(size))


def _exif() -> bytes:
    size = 100 << 10
    block = _tiff(*((30_000 + number, 1, size, 200) for number in range(10_000)))
    return block + bytes(size)


def _exif_in_png() -> bytes:
    return _png_with(_chunk(b"eXIf", _exif()))


def _exif_in_jpeg() -> bytes:
    block = _exif()
    parts = [block[start : start + 60_000] for start in range(0, len(block), 60_000)]
    segments = (
        b"\xff\xe1" + (len(part) + 8).to_bytes(2, "big") + b"Exif\0\0" + part for part in parts
    )
    return b"\xff\xd8" + b"".join(segments) + encoded("JPEG")[2:]


def _many_scans() -> bytes:
    """A progressive JPEG of 80 megapixels whose last scan comes a thousand times."""
    content = encoded("JPEG", progressive=True, quality=10)
    position = content.rindex(b"\xff\xda")
    content = content[:position] + content[position:-2] * 1000 + content[-2:]
    size = content.index(b"\xff\xc2") + 5
    return content[:size] + struct.pack(">HH", 9000, 9000) + content[size + 4 :]


def _huge_tiles() -> bytes:
    return _tiff(
        (256, 3, 1, 30), (257, 3, 1, 20), (258, 3, 1, 8), (259, 3, 1, 5), (262, 3, 1, 1),
        (277, 3, 1, 1), (322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 8), (325, 4, 1, 90),
    )  # fmt: skip


HOSTILE = [
    _text_bomb, _many_texts, _one_place_named_often, _exif_in_png, _exif_in_jpeg, _many_scans,
    _huge_tiles,
]  # fmt: skip


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__.strip("_"))
def test_hostile_files_raise_in_bounded_time_and_memory(
    make: Callable[[], bytes],
) -> None:
    content = make()
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(ImageError):
        load_image(ImageRef(png=content))
    seconds = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 20
    assert peak < len(content) * 5 + (200 << 20)


def test_bytes_without_a_file_have_the_same_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairaug.imaging.files.MAX_BYTES", 10)
    with pytest.raises(ImageError, match="too large"), open_image(encoded("PNG")):
        pass
