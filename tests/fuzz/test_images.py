"""Images of every format, and DICOM files with other elements or bytes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from support.dicom_images import dataset_of, saved
from support.fuzz.bounded import fuzz
from support.fuzz.checks import foreign_dicom, image
from support.fuzz.strategies import DAMAGES, DICOM_VALUES, damaged

_LEVELS = np.random.default_rng(5).integers(0, 256, (24, 20)).astype(np.uint8)

_EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"


def _encoded(kind: str, mode: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    levels = Image.fromarray(_LEVELS)
    if mode == "I;16":
        levels = Image.fromarray(_LEVELS.astype(np.uint16) * 16)
    elif mode != "L":
        levels = levels.convert(mode)
    levels.save(buffer, kind, **options)
    return buffer.getvalue()


FILES = [
    _encoded("PNG", "L"),
    _encoded("PNG", "P"),
    _encoded("PNG", "RGBA"),
    _encoded("PNG", "I;16"),
    _encoded("JPEG", "L", progressive=True),
    _encoded(
        "JPEG", "RGB", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
    ),
    _encoded("JPEG", "CMYK"),
    _encoded("TIFF", "L", compression="tiff_lzw"),
    _encoded("TIFF", "I;16", compression="tiff_deflate"),
    _encoded("BMP", "L"),
    _encoded("GIF", "P"),
    _encoded("WEBP", "RGB"),
]
DICOM = [
    saved(dataset_of()),
    *(saved(dataset_of(), syntax) for syntax in (RLELossless, JPEG2000Lossless, JPEGLosslessSV1)),
]

test_any_image_may_be_damaged = fuzz(
    image, st.builds(damaged, st.sampled_from(FILES), DAMAGES), short=90, valid=FILES
)
test_any_dicom_file_may_be_damaged = fuzz(
    image, st.builds(damaged, st.sampled_from(DICOM), DAMAGES), short=60, valid=DICOM
)
test_any_dicom_element_may_be_foreign = fuzz(
    foreign_dicom,
    st.dictionaries(
        st.sampled_from(sorted(DICOM_VALUES)), st.integers(0, 999), min_size=1, max_size=4
    ),
    short=60,
    valid=[{}],
)
