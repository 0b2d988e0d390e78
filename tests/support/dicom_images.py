"""DICOM images for tests: written by pydicom, with what one of them or another leaves out."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

SEED = np.random.default_rng(7)
SMOOTH = np.add.outer(np.arange(80) * 30, np.arange(60) * 25)
LEVELS = (SMOOTH + SEED.integers(0, 200, (80, 60))).astype(np.uint16)
"""An image of 12 bits: 80 rows, 60 columns, values from 0 to 4095."""


def dataset_of(stored: np.ndarray = LEVELS, bits: int = 12, **elements: Any) -> Dataset:
    """A digital radiograph, not compressed; `elements` are set on top."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset.PatientName = "SECRET^NAME"
    dataset.PatientID = "SECRET-ID"
    dataset.Modality = "DX"
    dataset.Rows, dataset.Columns = stored.shape[:2]
    dataset.SamplesPerPixel = 1 if stored.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if stored.ndim == 2 else "RGB"
    if stored.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 * stored.dtype.itemsize
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OB" if stored.dtype.itemsize == 1 else "OW"
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


def saved(dataset: Dataset, syntax: UID | None = None) -> bytes:
    """The file, in the transfer syntax that is asked for."""
    if syntax is not None and syntax.is_compressed and not syntax.is_deflated:
        _compress(dataset, syntax)
    elif syntax is not None:
        if not syntax.is_little_endian:
            dataset.PixelData = dataset.pixel_array.astype(">u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _compress(dataset: Dataset, syntax: UID) -> None:
    if syntax in (JPEG2000Lossless, RLELossless):
        dataset.compress(syntax, generate_instance_uid=False)
        return
    assert syntax == JPEGLosslessSV1
    stream = jpeg_lossless(dataset.pixel_array, dataset.BitsStored)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def jpeg_lossless(stored: np.ndarray, bits: int) -> bytes:
    """A lossless JPEG stream: ITU-T T.81, process 14, first-order prediction from the left."""
    values = stored.astype(int)
    predicted = np.empty_like(values)
    predicted[0, 0] = 1 << (bits - 1)
    predicted[1:, 0] = values[:-1, 0]
    predicted[:, 1:] = values[:, :-1]
    # Every category has a code of five bits: its own number.
    coded = []
    for step in (values - predicted).ravel().tolist():
        size = abs(step).bit_length()
        rest = step if step >= 0 else step + (1 << size) - 1
        # Half of the range up or down is the same value modulo 65536, and needs no bits.
        coded.append(f"{size:05b}" + (f"{rest:0{size}b}" if 0 < size < 16 else ""))
    text = "".join(coded)
    text += "1" * (-len(text) % 8)
    scan = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")
    height, width = stored.shape
    table = bytes([0]) + bytes(17 if length == 5 else 0 for length in range(1, 17))
    table += bytes(range(17))
    return b"".join(
        [
            b"\xff\xd8",
            b"\xff\xc3" + struct.pack(">HBHHBBBB", 11, bits, height, width, 1, 1, 0x11, 0),
            b"\xff\xc4" + struct.pack(">H", 2 + len(table)) + table,
            b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 0, 0),
            scan,
            b"\xff\xd9",
        ]
    )
