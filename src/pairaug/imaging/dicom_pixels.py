"""Stored values of a DICOM image of any transfer syntax, decoded and aligned.

Bits beside the stored ones (overlays, or a device's leftovers) are removed, also in compressed
streams.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pairaug.errors import MissingExtraError
from pairaug.imaging.files import MAX_SCANNED, ImageError

_PLAIN = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB")
"""Photometric interpretations without a colour transform, whose unused bits can be removed."""
_MAX_TILES = 65_535


@dataclass(frozen=True, slots=True)
class Codestream:
    """Size and depth in the header of a compressed stream."""

    height: int
    width: int
    precision: int
    num_components: int
    num_tiles: int
    begins: int
    """Offset to search from for the end of the stream, after segments that may hold another."""


def stored_values(dataset: Any) -> np.ndarray:
    """Stored values, `height width` or `height width colour`; read-only."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

    if not getattr(dataset, "file_meta", None) or "TransferSyntaxUID" not in dataset.file_meta:
        is_implicit, _ = dataset.original_encoding
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
        )
    syntax = dataset.file_meta.TransferSyntaxUID
    precision, plugin = int(dataset.BitsAllocated), ""
    decoder = get_decoder(syntax)
    if not syntax.is_compressed or syntax.is_deflated:
        _check_length(dataset)
    elif syntax == RLELossless:
        return align_values(_run_lengths(dataset), dataset, precision)
    elif not decoder.is_available:
        raise MissingExtraError("decompressing this DICOM image", "pylibjpeg", "dicom")
    else:
        precision, plugin = _check_codestream(dataset) or precision, "pylibjpeg"
    is_native = not plugin
    is_plain = dataset.PhotometricInterpretation in _PLAIN[: 4 if is_native else 3]
    options: dict[str, Any] = {"view_only": True} if is_native else {"decoding_plugin": plugin}
    if is_plain:
        options |= {"correct_unused_bits": False}
        options |= {"apply_j2k_sign_correction": False, "apply_jls_sign_correction": False}
    stored, _ = decoder.as_array(dataset, raw=is_plain, index=0, **options)
    return align_values(stored, dataset, precision) if is_plain else stored


def align_values(stored: np.ndarray, dataset: Any, precision: int) -> np.ndarray:
    """`stored` without the unused bits; the values end at the high bit.

    `precision` is the number of bits before. A high bit above all values is ignored: the values
    then are at the low end.
    """
    if stored.dtype.kind not in "ui":
        return stored
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    size, num_stored = 8 * stored.dtype.itemsize, int(dataset.BitsStored)
    bare = stored.view(f"u{stored.dtype.itemsize}")
    high_bit = dataset.get("HighBit")
    shift = int(num_stored - 1 if high_bit is None else high_bit) + 1 - num_stored
    is_there = 0 < shift <= min(size, precision) - num_stored
    if not is_there or int(bare.max()) < 2**num_stored:
        shift = 0
    num_bits = min(num_stored, precision - shift)
    if shift == 0 and num_bits >= size:
        return stored
    if not dataset.PixelRepresentation:
        return (bare >> shift) & bare.dtype.type(2**num_bits - 1)
    # Shifted up to the sign bit, and back down with the sign.
    lifted = bare << (size - num_bits - shift)
    return lifted.view(f"i{stored.dtype.itemsize}") >> (size - num_bits)


def _run_lengths(dataset: Any) -> np.ndarray:
    """Values of an RLE stream: one plane per byte of each colour, the highest byte first.

    Pillow unpacks them, since pydicom does it in Python, and without a limit of the size.
    """
    from pydicom.encaps import generate_frames
    from pydicom.pixels import convert_color_space

    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    shape = dataset.Rows, dataset.Columns, dataset.SamplesPerPixel
    size = dataset.BitsAllocated // 8
    num_planes, *starts = struct.unpack_from("<16L", frame)
    if size < 1 or num_planes != shape[2] * size:
        raise ImageError("the DICOM image has other colours or bits than its header says")
    planes = np.empty((*shape, size), np.uint8)
    for number in range(num_planes):
        end = starts[number + 1] if number + 1 < num_planes else len(frame)
        try:
            row = (shape[0] * shape[1], 1)
            plane = Image.frombytes("L", row, frame[starts[number] : end], "packbits", "L")
        except ValueError as error:
            raise ImageError("the DICOM image is cut short") from error
        planes[:, :, number // size, number % size] = np.asarray(plane).reshape(shape[:2])
    kind = "i" if dataset.PixelRepresentation else "u"
    values = planes.view(f">{kind}{size}")[..., 0]
    if dataset.PhotometricInterpretation == "YBR_FULL":
        return convert_color_space(values, "YBR_FULL", "RGB")
    return values if shape[2] > 1 else values[..., 0]


def _check_length(dataset: Any) -> None:
    num_bits = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        num_bits = num_bits * 2 // 3
    if len(dataset.PixelData) * 8 < num_bits:
        raise ImageError("the DICOM image is cut short")


def _check_codestream(dataset: Any) -> int | None:
    """Bits per value in the stream's header, if stated.

    Raises `ImageError` if the stream lacks its end or does not match the DICOM header: decoders
    fill in what is missing, and unpack what is too large. Bytes after the end are padding.
    """
    from pydicom.encaps import generate_frames

    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    stream = codestream_of(frame)
    if frame.find(b"\xff\xd9", stream.begins if stream else 0) < 0:
        raise ImageError("the DICOM image is cut short")
    if stream is None:
        return None
    if (stream.height, stream.width) != (dataset.Rows, dataset.Columns):
        raise ImageError("the DICOM image has another size than its header says")
    if stream.num_components != dataset.SamplesPerPixel:
        raise ImageError("the DICOM image has other colours than its header says")
    num_scanned = frame.count(b"\xff\xda") * stream.height * stream.width
    if stream.num_tiles > _MAX_TILES or num_scanned > MAX_SCANNED:
        raise ImageError("the image takes more work to decode than a radiograph")
    return stream.precision


def codestream_of(frame: bytes) -> Codestream | None:
    """Header of a JPEG, JPEG-LS or JPEG 2000 stream; None if it has none."""
    start = frame.find(b"\xff\x4f\xff\x51")  # start of the stream, then its size
    if 0 <= start < 512:
        x, y, left, top, wide, high, tiles_left, tiles_top, number, depth = struct.unpack_from(
            ">8LHB", frame, start + 8
        )
        num_tiles = -(-(x - tiles_left) // wide) * -(-(y - tiles_top) // high)
        begins = max(0, frame.find(b"\xff\x93", start))  # start of the data
        return Codestream(y - top, x - left, (depth & 127) + 1, number, num_tiles, begins)
    offset = 2
    while frame.startswith(b"\xff\xd8") and offset + 10 <= len(frame) and frame[offset] == 0xFF:
        marker, length = frame[offset + 1], int.from_bytes(frame[offset + 2 : offset + 4], "big")
        # A frame header, SOF0 to SOF15 and JPEG-LS's; the three left out are tables.
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            precision, height, width, number = struct.unpack_from(">BHHB", frame, offset + 4)
            return Codestream(height, width, precision, number, 1, offset)
        offset += 1 if marker == 0xFF else 2 + length
    return None
