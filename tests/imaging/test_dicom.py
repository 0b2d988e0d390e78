"""DICOM images equal the arrays they were made from, after the documented transform."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG2MPML,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from pairaug.errors import DataError, MissingExtraError
from pairaug.export.encoded_image import encoded_image
from pairaug.imaging import dicom
from pairaug.imaging.inspect import inspect_image
from pairaug.imaging.io import load_image, read_image
from pairaug.pair import ImageRef
from support.dicom_images import LEVELS, dataset_of, saved

LOW, HIGH = int(LEVELS.min()), int(LEVELS.max())
BY_RANGE = (LEVELS - LOW) / (HIGH - LOW)


def load(dataset: Dataset, syntax: UID | None = None) -> np.ndarray:
    return load_image(ImageRef(png=saved(dataset, syntax)))


def close(image: np.ndarray, expected: np.ndarray) -> bool:
    return image.dtype == np.float32 and np.allclose(image, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEG2000Lossless,
        JPEGLosslessSV1,
    ],
    ids=lambda syntax: syntax.name,
)
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_every_transfer_syntax_gives_the_source_array(syntax: UID, kind: str) -> None:
    image = load(dataset_of(PhotometricInterpretation=kind), syntax)
    assert close(image, BY_RANGE if kind == "MONOCHROME2" else 1 - BY_RANGE)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_all_of_the_bits_count(bits: int) -> None:
    stored = np.linspace(0, 2**bits - 1, 80 * 60).astype(np.uint16).reshape(80, 60)
    stored = stored.astype(np.uint8) if bits == 8 else stored
    window = {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}
    assert close(load(dataset_of(stored, bits, **window)), stored / (2**bits - 1))
    lossless = load(dataset_of(stored, bits, **window), JPEGLosslessSV1)
    assert close(lossless, stored / (2**bits - 1))


def test_signed_values_with_slope_and_intercept() -> None:
    stored = LEVELS.astype(np.int16) - 2000
    elements = {"RescaleSlope": "0.5", "RescaleIntercept": "-10"}
    window = {"WindowCenter": "-100", "WindowWidth": "900", "VOILUTFunction": "LINEAR_EXACT"}
    expected = ((stored * 0.5 - 10 + 100) / 900 + 0.5).clip(0, 1)
    assert close(load(dataset_of(stored, 16, **elements, **window)), expected)
    image = read_image(ImageRef(png=saved(dataset_of(stored, 16, **elements))))
    assert image.notes["stored_range"] == [int(stored.min()), int(stored.max())]
    assert close(image.image, BY_RANGE)


def _linear(x: np.ndarray, c: float, w: float) -> np.ndarray:
    return np.select(
        [x <= c - 0.5 - (w - 1) / 2, x > c - 0.5 + (w - 1) / 2], [0.0, 1.0],
        (x - (c - 0.5)) / (w - 1) + 0.5,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("function", "formula"),
    [
        (None, _linear),
        ("LINEAR", _linear),
        ("LINEAR_EXACT", lambda x, c, w: ((x - c) / w + 0.5).clip(0, 1)),
        ("SIGMOID", lambda x, c, w: 1 / (1 + np.exp(-4 * (x - c) / w))),
    ],
)
def test_windows_by_the_formulas_of_the_standard(function: str | None, formula: Any) -> None:
    elements: dict[str, Any] = {"WindowCenter": [1500, 9], "WindowWidth": [1200, 9]}
    if function:
        elements["VOILUTFunction"] = function
    image = load(dataset_of(**elements))
    assert close(image, formula(LEVELS.astype(float), 1500.0, 1200.0))
    # The standard's own implementation in pydicom agrees, on its scale of the stored bits.
    theirs = pydicom.pixels.apply_windowing(LEVELS, dataset_of(**elements)) / 4095
    assert np.allclose(image, theirs, atol=1e-5)


def test_windows_of_width_one_and_zero() -> None:
    one = load(dataset_of(WindowCenter=1000, WindowWidth=1))
    assert np.array_equal(one, (LEVELS > 999.5).astype(np.float32))
    image = read_image(ImageRef(png=saved(dataset_of(WindowCenter=1000, WindowWidth=0))))
    assert image.notes["voi"] == "range"
    assert close(image.image, BY_RANGE)


def test_voi_lut_before_window() -> None:
    table = Dataset()
    table.LUTDescriptor = [1000, 500, 10]
    table.add_new("LUTData", "US", [1023 - i for i in range(1000)])
    elements = {"VOILUTSequence": Sequence([table]), "WindowCenter": 1, "WindowWidth": 9}
    image = read_image(ImageRef(png=saved(dataset_of(**elements))))
    expected = (1023 - np.clip(LEVELS.astype(int) - 500, 0, 999)) / 1023
    assert image.notes["voi"] == "lut"
    assert close(image.image, expected)


def test_modality_lut_before_window() -> None:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.ModalityLUTType = "US"
    table.add_new("LUTData", "US", [4095 - i for i in range(4096)])
    image = load(
        dataset_of(ModalityLUTSequence=Sequence([table]), WindowCenter=2048, WindowWidth=4096)
    )
    assert close(image, (4095 - LEVELS.astype(float)) / 4095)


def test_padding_is_black_and_sets_no_range() -> None:
    stored = LEVELS.copy()
    stored[:5] = 4000
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        elements = {"PixelPaddingValue": 4000, "PhotometricInterpretation": kind}
        image = load(dataset_of(stored, **elements))
        rest = LEVELS[5:].astype(float)
        shown = (rest - rest.min()) / (rest.max() - rest.min())
        assert not image[:5].any()
        assert close(image[5:], shown if kind == "MONOCHROME2" else 1 - shown)


@pytest.mark.parametrize(
    ("elements", "shape"),
    [
        ({"PixelAspectRatio": [2, 1]}, (160, 60)),
        ({"PixelSpacing": [0.1, 0.2]}, (80, 120)),
        ({"ImagerPixelSpacing": [0.15, 0.1]}, (120, 60)),
        ({"PixelSpacing": [0.1430, 0.1431]}, (80, 60)),
        ({"PixelSpacing": ""}, (80, 60)),
    ],
)
def test_pixels_become_square(elements: dict[str, Any], shape: tuple[int, int]) -> None:
    stored = np.tile(np.linspace(0, 4095, 60), (80, 1)).astype(np.uint16)
    content = saved(dataset_of(stored, **elements))
    image = load_image(ImageRef(png=content))
    assert image.shape == shape
    assert np.abs(image[10] - np.linspace(0, 1, shape[1])).max() < 0.03
    ref = inspect_image(content).ref
    assert (ref.height, ref.width) == shape


@pytest.mark.parametrize("ratio", [[1, 0], [-1, 1]])
def test_unusable_aspect_is_ignored(ratio: list[int]) -> None:
    assert load(dataset_of(PixelAspectRatio=ratio)).shape == (80, 60)


def test_colour_becomes_luminance() -> None:
    colour = np.random.default_rng(1).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    grey = colour @ np.array([0.299, 0.587, 0.114]) / 255
    assert close(load(dataset_of(colour, 8)), grey)
    ybr = pydicom.pixels.convert_color_space(colour, "RGB", "YBR_FULL")
    image = load(dataset_of(ybr, 8, PhotometricInterpretation="YBR_FULL"))
    assert np.abs(image - grey).max() < 2 / 255


def test_a_palette_becomes_luminance() -> None:
    index = np.random.default_rng(1).integers(0, 256, (80, 60), dtype=np.uint8)
    dataset = dataset_of(index, 8, PhotometricInterpretation="PALETTE COLOR")
    ramp = np.arange(255, -1, -1, dtype=np.uint16) * 257
    for name in ("Red", "Green", "Blue"):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        dataset.add_new(f"{name}PaletteColorLookupTableData", "OW", ramp.tobytes())
    assert close(load(dataset), (255 - index.astype(float)) / 255)


def test_a_jpeg_inside_is_read_as_the_jpeg_itself() -> None:
    grey = (LEVELS >> 4).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=95)
    dataset = dataset_of(grey, 8, WindowCenter=128, WindowWidth=256)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([buffer.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    image = load(dataset)
    assert np.abs(image - load_image(ImageRef(png=buffer.getvalue()))).max() <= 2 / 255


@pytest.mark.parametrize("flag", ["YES", "NO", None])
def test_burnt_in_annotation_is_noted(flag: str | None) -> None:
    elements = {"BurnedInAnnotation": flag} if flag else {}
    notes = inspect_image(saved(dataset_of(**elements))).notes
    assert notes.get("burnt_in_annotation") == flag


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_dicom_without_preamble(tmp_path: Path, syntax: UID) -> None:
    content = saved(dataset_of(), syntax)
    bare = content[144 + int.from_bytes(content[140:144], "little") :]
    path = tmp_path / "image.DCM"
    path.write_bytes(bare)
    assert close(load_image(ImageRef(path=str(path))), BY_RANGE)
    exported = encoded_image(ImageRef(path=str(path)))
    assert not isinstance(exported, str)
    assert exported.suffix == "png"
    with pytest.raises(DataError, match="cannot be read"):
        load_image(ImageRef(png=bare))


def test_png_named_dcm(tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    Image.fromarray((LEVELS >> 4).astype(np.uint8)).save(path, "PNG")
    assert load_image(ImageRef(path=str(path))).shape == (80, 60)


def _cut_in_the_middle_of_the_stream(syntax: UID) -> bytes:
    dataset = dataset_of()
    saved(dataset, syntax)
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
    return saved(dataset)


def _lying_stream() -> bytes:
    dataset = dataset_of()
    saved(dataset, JPEG2000Lossless)
    dataset.Rows = 40
    return saved(dataset)


BROKEN = {
    "no picture": (lambda: saved(_without("PixelData")), "has no pixel data"),
    "no rows": (lambda: saved(_without("Rows")), "has no pixel data"),
    "frames": (lambda: saved(dataset_of(NumberOfFrames=3)), "several frames"),
    "empty": (lambda: saved(dataset_of(PixelData=b"")), "cut short"),
    "half the values": (lambda: saved(dataset_of(PixelData=LEVELS.tobytes()[:900])), "cut short"),
    "cut file": (lambda: saved(dataset_of())[:-900], "cut short"),
    "cut RLE": (lambda: saved(dataset_of(), RLELossless)[:-900], "cut short|cannot be read"),
    "cut JPEG 2000": (lambda: _cut_in_the_middle_of_the_stream(JPEG2000Lossless), "cut short"),
    "cut JPEG": (lambda: _cut_in_the_middle_of_the_stream(JPEGLosslessSV1), "cut short"),
    "cut header": (lambda: saved(dataset_of())[:200], "has no pixel data|cannot be read"),
    "another size": (_lying_stream, "another size than its header says"),
    "bomb": (lambda: saved(dataset_of(Rows=60000, Columns=60000)), "too large to be a radiograph"),
    "thin": (
        lambda: saved(dataset_of(PixelAspectRatio=[1, 900])),
        "pixel aspect ratio 0.00111. is outside",
    ),
    "video": (lambda: saved(_as_video()), "stored in an unknown way"),
}


def _without(name: str) -> Dataset:
    dataset = dataset_of()
    delattr(dataset, name)
    return dataset


def _as_video() -> Dataset:
    dataset = dataset_of()
    dataset.PixelData = encapsulate([b"\0" * 100])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = MPEG2MPML
    return dataset


@pytest.mark.parametrize("kind", BROKEN)
def test_unreadable_dicom_raises(kind: str) -> None:
    make, message = BROKEN[kind]
    with pytest.raises(DataError, match=message) as caught:
        load_image(ImageRef(png=make()))
    assert "SECRET" not in str(caught.value)


def test_deflated_bomb_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom, "_MAX_INFLATED", 1000)
    with pytest.raises(DataError, match="too large to be a radiograph"):
        load(dataset_of(), DeflatedExplicitVRLittleEndian)


def test_constant_image_detail() -> None:
    found = inspect_image(saved(dataset_of(np.zeros((80, 60), np.uint16))))
    assert (found.image_defect, found.detail) == ("image_constant", "all stored values are 0")
    nearly = np.full((80, 60), 7, np.uint16)
    nearly[0, 0] = 8
    window = {"WindowCenter": 2000, "WindowWidth": 4000}
    found = inspect_image(saved(dataset_of(nearly, **window)))
    assert found.image_defect == "image_constant"
    assert found.detail == "stored values from 7 to 8, made grey by window"


def test_odd_headers_without_warnings(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Warnings are errors here, and neither they nor the log may quote a header."""
    content = saved(dataset_of())
    content = content.replace(b"1.2.826.0.1.3680043.8.498.1", b"SECRET.0.1.3680043.8.498.01")
    with caplog.at_level(logging.DEBUG):
        assert close(load_image(ImageRef(png=content)), BY_RANGE)
    out, err = capfd.readouterr()
    assert "SECRET" not in f"{caplog.text}{out}{err}"


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(dataset_of())
    compressed = saved(dataset_of(), JPEG2000Lossless)
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    with pytest.raises(MissingExtraError, match=r"decompressing .* pip install .pairaug\[dicom\]"):
        load_image(ImageRef(png=compressed))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"DICOM needs pydicom: pip install .pairaug\[dic"):
        load_image(ImageRef(png=content))
