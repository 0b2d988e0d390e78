"""Reading images of every common kind, fitting them to a square, and encoding them."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pairaug.errors import DataError
from pairaug.imaging.inspect import inspect_image
from pairaug.imaging.io import (
    copied_ref,
    encode_png,
    fit_square,
    image_defect,
    load_image,
    png_ref,
    read_image,
    sha256,
)
from pairaug.pair import ImageRef

RNG = np.random.default_rng(0)
LEVELS = RNG.integers(0, 256, (6, 9), dtype=np.uint8)


def stored(image: Image.Image, kind: str = "PNG", **options: object) -> ImageRef:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return ImageRef(png=buffer.getvalue())


def test_eight_bit_grey_is_divided_by_255() -> None:
    image = load_image(stored(Image.fromarray(LEVELS)))
    assert image.dtype == np.float32
    assert np.array_equal(image, LEVELS.astype(np.float32) / np.float32(255))


def test_sixteen_bit_grey_is_divided_by_65535() -> None:
    deep = RNG.integers(0, 65536, (6, 9), dtype=np.uint16)
    image = load_image(stored(Image.fromarray(deep)))
    assert np.allclose(image, deep / 65535, atol=1e-7)
    assert image.max() <= 1.0


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "CMYK"])
def test_other_modes_become_luminance(mode: str) -> None:
    grey = Image.fromarray(LEVELS)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    image = load_image(stored(grey.convert("RGB").convert(mode), kind))
    assert image.shape == (6, 9)
    limit = 3 / 255 if mode != "P" else 0.2  # the web palette is coarse
    assert np.abs(image - LEVELS / 255).max() <= limit


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate"])
@pytest.mark.parametrize("depth", [8, 16])
def test_tiff_of_eight_and_sixteen_bits(depth: int, compression: str | None) -> None:
    levels = LEVELS if depth == 8 else RNG.integers(0, 65536, (6, 9), dtype=np.uint16)
    image = load_image(stored(Image.fromarray(levels), "TIFF", compression=compression))
    assert np.allclose(image, levels / (2**depth - 1), atol=1e-7)


@pytest.mark.parametrize("depth", [8, 16])
def test_tiff_with_white_as_zero_is_inverted(depth: int) -> None:
    levels = LEVELS if depth == 8 else LEVELS.astype(np.uint16) * 257
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "TIFF", tiffinfo={262: 1})
    black, white = struct.pack("<HHIHH", 262, 3, 1, 1, 0), struct.pack("<HHIHH", 262, 3, 1, 0, 0)
    content = buffer.getvalue()
    assert content.count(black) == 1
    image = load_image(ImageRef(png=content.replace(black, white)))
    assert np.allclose(image, 1 - LEVELS / 255, atol=1e-6)


def test_of_several_pages_the_first_is_the_image() -> None:
    pages = [Image.fromarray(LEVELS), Image.fromarray(255 - LEVELS)]
    image = load_image(stored(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert np.array_equal(image * 255, LEVELS)


def test_one_bit_images_are_black_and_white() -> None:
    image = load_image(stored(Image.fromarray(LEVELS > 127)))
    assert set(np.unique(image)) == {0.0, 1.0}


def test_exif_rotation_is_applied() -> None:
    smooth = np.linspace(0, 255, 6 * 9).reshape(6, 9).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown rotated by 90 degrees clockwise
    image = load_image(stored(Image.fromarray(smooth), "JPEG", exif=exif, quality=100))
    assert image.shape == (9, 6)
    assert np.abs(image - np.rot90(smooth, -1) / 255).max() < 0.03


def test_paths_are_read_too(tmp_path: Path) -> None:
    Image.fromarray(LEVELS).save(tmp_path / "image.png")
    assert load_image(ImageRef(path=str(tmp_path / "image.png"))).shape == (6, 9)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        (ImageRef(), "neither a path nor bytes"),
        (ImageRef(path="/no/such/p10-image.png"), "file is missing"),
        (ImageRef(png=b"not an image"), r"cannot be read \(UnidentifiedImageError\)"),
        (ImageRef(png=b""), "cannot be read"),
        (ImageRef(png=encode_png(LEVELS / 255)[:60]), "cannot be read"),
    ],
)
def test_unreadable_image_raises_without_path(ref: ImageRef, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_image(ref)
    assert "p10" not in str(caught.value)


def test_folder_instead_of_image_raises(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a folder in the place of the image"):
        load_image(ImageRef(path=str(tmp_path)))


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(DataError, match="floating point pixels"):
        load_image(stored(Image.fromarray(LEVELS.astype(np.float32)), "TIFF"))


def _bomb(side: int) -> bytes:
    header = b"IHDR" + side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    check = zlib.crc32(header).to_bytes(4, "big")
    pixels = (4).to_bytes(4, "big") + b"IDAT" + bytes(8)
    png = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + header + check + pixels
    return png


@pytest.mark.parametrize("side", [10_500, 60_000])
def test_oversized_header_raises(side: int) -> None:
    """Neither of Pillow's own limits, a warning and an error, lets it through."""
    with pytest.raises(DataError, match="too large to be a radiograph"):
        load_image(ImageRef(png=_bomb(side)))


def test_bombs_raise_in_every_thread() -> None:
    def outcome(content: bytes) -> str:
        try:
            return str(load_image(ImageRef(png=content)).shape)
        except DataError as error:
            return str(error)

    small = encode_png(LEVELS / 255)
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(outcome, [_bomb(10_500), small] * 200))
    assert set(found[::2]) == {"the image is too large to be a radiograph"}
    assert set(found[1::2]) == {"(6, 9)"}
    assert list(warnings.filters) == before


def test_oversized_file_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairaug.imaging.files.MAX_BYTES", 10)
    (tmp_path / "image.png").write_bytes(encode_png(LEVELS / 255))
    with pytest.raises(DataError, match="a file of more than 0 MB"):
        load_image(ImageRef(path=str(tmp_path / "image.png")))


def test_grey_png_is_copied_and_others_encoded() -> None:
    grey = encode_png(LEVELS / 255)
    assert copied_ref(grey, LEVELS / 255).png == grey
    turned = Image.Exif()
    turned[0x0112] = 6
    others = [
        stored(Image.fromarray(LEVELS), exif=turned),
        stored(Image.fromarray(LEVELS.astype(np.uint16) * 257)),
        stored(Image.fromarray(LEVELS), "JPEG", quality=100),
    ]
    for ref in others:
        assert ref.png is not None
        image = load_image(ref)
        made = copied_ref(ref.png, image)
        assert made.png == encode_png(image)
        assert (made.height, made.width) == image.shape


def test_encoding_is_eight_bit_grey_and_repeats_its_bytes() -> None:
    image = RNG.random((6, 9), dtype=np.float32)
    png = encode_png(image)
    assert png == encode_png(image.copy())
    with Image.open(io.BytesIO(png)) as opened:
        assert (opened.mode, opened.size, opened.info) == ("L", (9, 6), {})
    assert np.abs(load_image(ImageRef(png=png)) - image).max() <= 0.5 / 255 + 1e-6
    assert np.array_equal(load_image(ImageRef(png=encode_png(LEVELS / 255))) * 255, LEVELS)


def test_encoding_clips_and_refuses_nan() -> None:
    clipped = load_image(ImageRef(png=encode_png(np.array([[-0.5, 1.5]], dtype=np.float32))))
    assert clipped.tolist() == [[0.0, 1.0]]
    with pytest.raises(ValueError, match="not finite"):
        encode_png(np.array([[np.nan, 1.0]]))


def test_a_ref_carries_size_and_hash() -> None:
    ref = png_ref(LEVELS / 255)
    assert (ref.height, ref.width, ref.path) == (6, 9, None)
    assert ref.png is not None
    assert ref.sha256 == sha256(ref.png)


def test_crop_keeps_the_centre_at_the_shorter_sides_scale() -> None:
    wide = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (20, 1))
    square = fit_square(wide, 10, "crop")
    assert square.shape == (10, 10)
    # The middle half of the ramp, from 0.25 to 0.75.
    assert np.allclose(square[5], np.linspace(0.26, 0.74, 10), atol=0.02)


def test_pad_keeps_the_whole_image_on_black() -> None:
    tall = np.full((40, 20), 0.5, dtype=np.float32)
    square = fit_square(tall, 10, "pad")
    assert square.shape == (10, 10)
    assert np.allclose(square[:, 2:7], 0.5, atol=1e-6)
    assert not square[:, [0, 1, 7, 8, 9]].any()


def test_shrinking_does_not_alias() -> None:
    """Stripes finer than the small image average out."""
    stripes = np.tile(np.array([0.0, 1.0], dtype=np.float32), (64, 32))
    assert np.abs(fit_square(stripes, 8) - 0.5).max() < 0.02


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("shape", [(33, 71), (71, 33), (5, 5), (128, 127), (1, 9)])
def test_every_shape_becomes_square(shape: tuple[int, int], fit: str) -> None:
    square = fit_square(RNG.random(shape, dtype=np.float32), 16, fit)
    assert square.shape == (16, 16)
    assert square.min() >= 0.0
    assert square.max() <= 1.0


def test_image_of_the_right_size_is_unchanged() -> None:
    image = RNG.random((16, 16), dtype=np.float32)
    assert fit_square(image, 16) is image


def test_defects() -> None:
    good = RNG.random((16, 16), dtype=np.float32)
    assert image_defect(good) is None
    broken = good.copy()
    broken[3, 3] = np.nan
    assert image_defect(broken) == "image_not_finite"
    assert image_defect(np.full((16, 16), 0.4) + 0.003 * good) == "image_constant"
    assert image_defect(np.round(good)) == "image_saturated"
    collimated = good.copy()
    collimated[:8] = 0.0
    assert image_defect(collimated) is None


def _png_with_sbit(levels: np.ndarray, bits: int) -> bytes:
    content = stored(Image.fromarray(levels)).png
    assert content is not None
    chunk = b"sBIT" + bytes([bits])
    position = content.index(b"IDAT") - 4
    chunk = (1).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return content[:position] + chunk + content[position:]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_bit_depth_from_range(kind: str, bits: int) -> None:
    levels = np.linspace(0, 2**bits - 1, 600).astype(np.uint16).reshape(20, 30)
    ref = stored(Image.fromarray(levels), kind)
    image = read_image(ref)
    assert np.allclose(image.image, levels / (2**bits - 1), atol=1e-6)
    noted = {} if bits == 16 else {"bit_depth": bits, "bit_depth_by": "range"}
    assert image.notes == noted
    assert ref.png is not None
    assert inspect_image(ref.png).notes == noted


def test_stated_bit_depth_before_range() -> None:
    dim = np.linspace(0, 900, 600).astype(np.uint16).reshape(20, 30)
    image = read_image(ImageRef(png=_png_with_sbit(dim, 12)))
    assert np.allclose(image.image, dim / 4095, atol=1e-6)
    assert image.notes == {"bit_depth": 12, "bit_depth_by": "file"}
    whole = read_image(ImageRef(png=_png_with_sbit(dim, 16)))
    assert np.allclose(whole.image, dim / 65535, atol=1e-6)
    # Scaled up to sixteen bits, as the standard has it: they say where the values came from.
    scaled = (np.linspace(0, 4095, 600).astype(np.uint16) << 4).reshape(20, 30)
    image = read_image(ImageRef(png=_png_with_sbit(scaled, 12)))
    assert np.allclose(image.image, scaled / 65535, atol=1e-6)
    tagged = read_image(stored(Image.fromarray(dim), "TIFF", tiffinfo={281: 4095}))
    assert np.allclose(tagged.image, dim / 4095, atol=1e-6)


def test_bit_depth_with_white_as_zero() -> None:
    levels = np.linspace(0, 4095, 600).astype(np.uint16).reshape(20, 30)
    content = stored(Image.fromarray(levels), "TIFF", tiffinfo={262: 1}).png
    assert content is not None
    black, white = struct.pack("<HHIHH", 262, 3, 1, 1, 0), struct.pack("<HHIHH", 262, 3, 1, 0, 0)
    image = load_image(ImageRef(png=content.replace(black, white)))
    assert np.allclose(image, 1 - levels / 4095, atol=1e-6)
