"""DICOM headers as devices write them: what is odd and optional never costs the image."""

from __future__ import annotations

import struct
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

from pairaug.errors import DataError
from pairaug.imaging.inspect import inspect_image
from pairaug.imaging.io import Image, read_image
from pairaug.pair import ImageRef
from support.dicom_images import LEVELS, dataset_of, jpeg_lossless, saved

LOW, HIGH = int(LEVELS.min()), int(LEVELS.max())
BY_RANGE = (LEVELS - LOW) / (HIGH - LOW)
WINDOW = {"WindowCenter": "1500", "WindowWidth": "1200"}


def image_of(content: bytes | Dataset) -> Image:
    image = read_image(ImageRef(png=content if isinstance(content, bytes) else saved(content)))
    assert image.image.dtype == np.float32
    return image


def close(image: np.ndarray, expected: np.ndarray) -> bool:
    return np.allclose(image, expected, rtol=0, atol=2e-6)


def windowed(centre: float, width: float) -> np.ndarray:
    return ((LEVELS - (centre - 0.5)) / (width - 1) + 0.5).clip(0, 1)


def with_text(name: str, text: str, **elements: Any) -> bytes:
    """A file whose element holds `text`, which pydicom itself would not write."""
    mark = "7" * (len(text) + len(text) % 2)
    content = saved(dataset_of(**{**elements, name: mark}))
    assert content.count(mark.encode()) == 1
    return content.replace(mark.encode(), text.ljust(len(mark)).encode())


def table(entries: Any, bits: int = 12, first: int = 0, vr: str = "US") -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    is_bytes = vr == "OW"
    data = np.asarray(entries, dtype="<u2").tobytes() if is_bytes else [int(e) for e in entries]
    item.add_new("LUTData", vr, data)
    return item


UNUSABLE = ["nan", "1,5", "text", "1.#QNAN", "inf", "-inf", "1e400", "0", "-100", "0.5"]


@pytest.mark.parametrize("text", UNUSABLE)
def test_a_window_without_a_width_falls_back_to_the_range(text: str) -> None:
    image = image_of(with_text("WindowWidth", text, WindowCenter="1500"))
    assert close(image.image, BY_RANGE)
    assert image.notes["voi"] == "range"
    assert image.notes["ignored"] == ["window"]


@pytest.mark.parametrize("text", UNUSABLE[:7])
def test_a_window_without_a_centre_falls_back_to_the_next(text: str) -> None:
    content = with_text("WindowCenter", f"{text}\\1500", WindowWidth=["9", "1200"])
    image = image_of(content)
    assert close(image.image, windowed(1500, 1200))
    assert (image.notes["voi"], image.notes["ignored"]) == ("window", ["window"])


def test_window_outside_values_falls_back() -> None:
    image = image_of(dataset_of(WindowCenter=60000, WindowWidth=10))
    assert close(image.image, BY_RANGE)
    assert (image.notes["voi"], image.notes["ignored"]) == ("range", ["window_beside_values"])
    two = image_of(dataset_of(WindowCenter=[60000, 1500], WindowWidth=[10, 1200]))
    assert close(two.image, windowed(1500, 1200))
    few = LEVELS.copy()
    few[0, :3] = 60000  # dead pixels inside of it do not make it one
    image = image_of(dataset_of(few, 16, WindowCenter=60000, WindowWidth=1000))
    assert image.notes["voi"] == "range"


def test_more_centres_than_widths() -> None:
    image = image_of(dataset_of(WindowCenter=[1500, 3], WindowWidth="1200"))
    assert close(image.image, windowed(1500, 1200))


def test_an_unknown_window_function_is_linear() -> None:
    assert close(image_of(dataset_of(VOILUTFunction="OTHER", **WINDOW)).image, windowed(1500, 1200))


@pytest.mark.parametrize("vr", ["US", "OW"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_voi_lut_bits_from_entries(bits: int, vr: str) -> None:
    entries = np.linspace(0, 2**bits - 1, 4096).astype(int)
    for stated in {bits, 16}:
        image = image_of(dataset_of(VOILUTSequence=Sequence([table(entries, stated, vr=vr)])))
        assert close(image.image, entries[LEVELS] / (2**bits - 1))
        assert image.notes["voi"] == "lut"


def test_a_voi_lut_of_bytes() -> None:
    item = table(np.arange(256), 8)
    item.LUTData = None
    item.add_new("LUTData", "OW", bytes(range(256)))
    stored = (LEVELS >> 4).astype(np.uint8)
    image = image_of(dataset_of(stored, 8, VOILUTSequence=Sequence([item])))
    assert close(image.image, stored / 255)


def test_a_voi_lut_that_begins_below_zero() -> None:
    stored = LEVELS.astype(np.int16) - 2000
    item = table(np.arange(4096))
    item["LUTDescriptor"].VR = "SS"
    item.LUTDescriptor = [4096, -2000, 16]
    image = image_of(dataset_of(stored, 16, VOILUTSequence=Sequence([item])))
    assert close(image.image, LEVELS / 4095)


def test_an_empty_voi_lut_beside_a_good_window() -> None:
    for item in (Dataset(), table([])):
        image = image_of(dataset_of(VOILUTSequence=Sequence([item]), **WINDOW))
        assert close(image.image, windowed(1500, 1200))
        assert (image.notes["voi"], image.notes["ignored"]) == ("window", ["voi_lut"])
    beside = table(np.arange(100), first=9000)
    image = image_of(dataset_of(VOILUTSequence=Sequence([beside]), **WINDOW))
    assert image.notes["ignored"] == ["voi_lut_beside_values"]
    two = Sequence([Dataset(), table(np.arange(4096))])
    assert close(image_of(dataset_of(VOILUTSequence=two)).image, LEVELS / 4095)


@pytest.mark.parametrize("text", ["nan", "1,5", "text", "0", "inf"])
def test_invalid_slope(text: str) -> None:
    image = image_of(with_text("RescaleSlope", text, RescaleIntercept="-9", **WINDOW))
    assert close(image.image, BY_RANGE)
    assert image.notes["ignored"] == ["rescale"]


@pytest.mark.parametrize("name", ["PixelSpacing", "PixelAspectRatio", "ImagerPixelSpacing"])
@pytest.mark.parametrize("text", ["2", "1\\2\\3", "text\\1", "nan\\1", "1\\inf", "0\\1", ""])
def test_invalid_spacing(name: str, text: str) -> None:
    content = with_text(name, text) if text else saved(dataset_of(**{name: ""}))
    assert image_of(content).image.shape == (80, 60)


def test_invalid_padding_value() -> None:
    dataset = dataset_of()
    dataset.add_new("PixelPaddingValue", "US", [])
    assert close(image_of(dataset).image, BY_RANGE)
    signed = LEVELS.astype(np.int16)
    signed[:5] = -2000
    dataset = dataset_of(signed, 16)
    dataset.add_new("PixelPaddingValue", "US", 63536)
    assert not image_of(dataset).image[:5].any()


def test_invalid_number_of_frames() -> None:
    assert close(image_of(with_text("NumberOfFrames", "1A")).image, BY_RANGE)


@pytest.mark.parametrize("shape", [None, "INVERSE"])
def test_monochrome1_is_inverted_once(shape: str | None) -> None:
    elements = {"PresentationLUTShape": shape} if shape else {}
    image = image_of(dataset_of(PhotometricInterpretation="MONOCHROME1", **elements))
    assert close(image.image, 1 - BY_RANGE)


# The bits beside the stored ones.

GARBAGE = np.random.default_rng(3).integers(0, 8, LEVELS.shape).astype(np.uint16)
SYNTAXES = [None, RLELossless, JPEG2000Lossless, JPEGLosslessSV1]


def compressed(raw: np.ndarray, syntax: UID | None, **elements: Any) -> bytes:
    """A file of 16 bits in the stream, whatever its header says of them."""
    dataset = dataset_of(raw, 16)
    if syntax == JPEGLosslessSV1:
        dataset.PixelData = encapsulate([jpeg_lossless(raw.view(np.uint16), 16)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
    elif syntax is not None:
        dataset.compress(syntax, generate_instance_uid=False)
    for name, value in elements.items():
        setattr(dataset, name, value)
    return saved(dataset)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_values_end_at_the_high_bit(syntax: UID | None) -> None:
    raw = (LEVELS << 4) | GARBAGE
    image = image_of(compressed(raw, syntax, BitsStored=12, HighBit=15))
    assert image.notes["stored_range"] == [LOW, HIGH]
    assert close(image.image, BY_RANGE)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_overlay_bits_are_removed(syntax: UID | None) -> None:
    raw = LEVELS | (GARBAGE << 12)
    image = image_of(compressed(raw, syntax, BitsStored=12, HighBit=11))
    assert image.notes["stored_range"] == [LOW, HIGH]
    assert close(image.image, BY_RANGE)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_signed_values_in_a_stream_without_signs(syntax: UID | None) -> None:
    signed = LEVELS.astype(np.int16) - 2048
    raw = (signed & 0xFFF).astype(np.uint16) | (GARBAGE << 12)
    elements = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 1}
    image = image_of(compressed(raw, syntax, **elements))
    assert image.notes["stored_range"] == [LOW - 2048, HIGH - 2048]
    assert close(image.image, BY_RANGE)


def test_unsigned_values_in_a_stream_with_signs() -> None:
    raw = (LEVELS.astype(np.int32) * 16).astype(np.uint16).view(np.int16)
    image = image_of(compressed(raw, JPEG2000Lossless, PixelRepresentation=0))
    assert image.notes["stored_range"] == [LOW * 16, HIGH * 16]


def test_wrong_high_bit_is_ignored() -> None:
    image = image_of(compressed(LEVELS, None, BitsStored=12, HighBit=15))
    assert image.notes["stored_range"] == [LOW, HIGH]


# The end of a compressed stream.

PADDINGS = [b"\xff", b"\0", b"  ", b"\xff" * 7, b"\0\xff\0\0", b"\xff\xda junk"]


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLosslessSV1])
@pytest.mark.parametrize("padding", PADDINGS)
def test_padding_after_the_end(syntax: UID, padding: bytes) -> None:
    dataset = dataset_of()
    saved(dataset, syntax)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1)).rstrip(b"\0")
    dataset.PixelData = encapsulate([frame + padding])
    assert close(image_of(dataset).image, BY_RANGE)
    dataset.PixelData = encapsulate([frame[: len(frame) // 2] + padding])
    with pytest.raises(DataError, match="cut short"):
        image_of(dataset)


# Other kinds of images.


def test_colour_of_32_bits() -> None:
    colour = np.random.default_rng(1).integers(0, 2**32, (80, 60, 3), dtype=np.uint32)
    grey = colour @ np.array([0.299, 0.587, 0.114]) / (2**32 - 1)
    assert close(image_of(dataset_of(colour, 32)).image, grey)
    planes = dataset_of(colour, 32, PlanarConfiguration=1)
    planes.PixelData = colour.transpose(2, 0, 1).tobytes()
    assert close(image_of(planes).image, grey)


def test_a_palette_of_8_bits_in_16() -> None:
    index = np.random.default_rng(1).integers(0, 256, (80, 60), dtype=np.uint8)
    dataset = dataset_of(index, 8, PhotometricInterpretation="PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        ramp = np.arange(256, dtype=np.uint16)
        dataset.add_new(f"{name}PaletteColorLookupTableData", "OW", ramp.tobytes())
    assert close(image_of(dataset).image, index / 255)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_values_of_all_widths(bits: int) -> None:
    kind = np.dtype(f"u{bits // 8}")
    stored = (LEVELS >> 4).astype(kind) << kind.type(bits - 8)
    low, high = int(stored.min()), int(stored.max())
    assert close(image_of(dataset_of(stored, bits)).image, (stored - low) / (high - low))


def test_a_row_of_odd_length() -> None:
    stored = (LEVELS[:5, :7] >> 4).astype(np.uint8)
    image = image_of(dataset_of(stored, 8, WindowCenter=128, WindowWidth=256))
    assert close(image.image, stored / 255)


def test_floating_point_dicom_raises() -> None:
    dataset = dataset_of(BitsAllocated=32)
    del dataset.PixelData
    dataset.FloatPixelData = LEVELS.astype(np.float32).tobytes()
    with pytest.raises(DataError, match="floating point"):
        image_of(dataset)


@pytest.mark.parametrize(
    "elements",
    [
        {"SamplesPerPixel": 3},
        {"SamplesPerPixel": 60000},
        {"PhotometricInterpretation": "CMYK"},
        {"PhotometricInterpretation": "YBR_PARTIAL_420"},
        {"BitsAllocated": 64},
    ],
)
def test_unknown_photometric_interpretations_raise(elements: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="stored in an unknown way"):
        image_of(dataset_of(**elements))


def test_every_file_of_pydicom() -> None:
    """Data or a reason, and no intact one is cut short."""
    root = Path(pydicom.__file__).parent / "data" / "test_files"
    cut: list[str] = []
    num_images = 0
    for path in sorted(root.rglob("*.dcm")):
        try:
            found = inspect_image(path.read_bytes(), path.suffix)
        except DataError as error:
            cut += [path.name] if "image is cut short" in str(error) else []
            continue
        num_images += found.image_defect is None
    assert cut == ["MR_truncated.dcm"]
    assert num_images >= 50


def test_header_cut_anywhere() -> None:
    content = saved(dataset_of(VOILUTSequence=Sequence([table(range(64))]), **WINDOW))
    for length in range(132, len(content), 97):
        with pytest.raises(DataError):
            image_of(content[:length])


def test_damaged_headers() -> None:
    content = saved(dataset_of(VOILUTSequence=Sequence([table(range(64))]), **WINDOW))
    header = len(content) - LEVELS.nbytes
    random = np.random.default_rng(5)
    for _ in range(300):
        damaged = bytearray(content)
        for position in random.integers(132, header, 3):
            damaged[position] = random.integers(256)
        try:
            read_image(ImageRef(png=bytes(damaged)))
        except DataError:
            continue


def test_rle_bomb_raises() -> None:
    dataset = dataset_of(LEVELS, 16)
    dataset.file_meta.TransferSyntaxUID = RLELossless
    zeros = b"\x81\0" * 1_000_000  # 128 bytes each
    header = struct.pack("<16L", 2, 64, 64 + len(zeros), *[0] * 13)
    dataset.PixelData = encapsulate([header + zeros + zeros])
    dataset["PixelData"].is_undefined_length = True
    content = saved(dataset)
    tracemalloc.start()
    image = image_of(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not image.image.any()
    assert peak < 10 * len(content)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("num_colours", [1, 3])
def test_rle_of_all_widths(bits: int, num_colours: int) -> None:
    shape = (80, 60) if num_colours == 1 else (80, 60, 3)
    stored = np.random.default_rng(2).integers(0, 2**bits, shape, dtype=f"u{bits // 8}")
    plain = image_of(dataset_of(stored, bits)).image
    assert np.array_equal(image_of(saved(dataset_of(stored, bits), RLELossless)).image, plain)


@pytest.mark.parametrize("is_deflated", [False, True])
def test_header_of_millions_of_items_raises_quickly(is_deflated: bool) -> None:
    items = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 2_000_000
    body = struct.pack("<HH2sHL", 9, 0x1010, b"SQ", 0, 0xFFFFFFFF) + items
    content = saved(dataset_of(), DeflatedExplicitVRLittleEndian if is_deflated else None)
    start = 144 + int.from_bytes(content[140:144], "little")
    if is_deflated:
        packing = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
        body = packing.compress(body) + packing.flush()
    began = time.process_time()
    with pytest.raises(DataError):
        image_of(content[:start] + body)
    assert time.process_time() - began < 10


def test_many_windows_are_noted_once() -> None:
    image = image_of(dataset_of(WindowCenter=[60000] * 900, WindowWidth=[1] * 900))
    assert image.notes["ignored"] == ["window_beside_values"]


def test_costly_streams_raise() -> None:
    dataset = dataset_of()
    saved(dataset, JPEG2000Lossless)
    frame = bytearray(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    position = frame.find(b"\xff\x4f\xff\x51")
    components = frame.copy()
    struct.pack_into(">H", components, position + 40, 16_000)
    tiles = frame.copy()
    struct.pack_into(">8L", tiles, position + 8, 9000, 9000, 0, 0, 1, 1, 0, 0)
    scans = jpeg_lossless(LEVELS, 12).replace(b"\xff\xda", b"\xff\xda" * 30)
    for changed, side, syntax, message in (
        (components, None, JPEG2000Lossless, "other colours"),
        (tiles, 9000, JPEG2000Lossless, "more work"),
        (scans.replace(struct.pack(">HH", 80, 60), struct.pack(">HH", 9000, 9000)), 9000,
         JPEGLosslessSV1, "more work"),
    ):  # fmt: skip
        dataset = dataset_of(**({"Rows": side, "Columns": side} if side else {}))
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([bytes(changed)])
        dataset["PixelData"].is_undefined_length = True
        with pytest.raises(DataError, match=message):
            image_of(dataset)
