"""DICOM films as arrays: what is stored, made grey as a viewer shows it.

pydicom and its decoders are the extra `pairaug[dicom]`, imported when the first such film is
opened. Nothing of the header but what decides the picture is looked at, and nothing of it is said
in a message: a header is full of names.
"""

from __future__ import annotations

import io
import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from pairaug.errors import DataError, MissingExtraError

SUFFIXES = (".dcm", ".dicom")
"""What files without a preamble are recognised by."""

_LIMIT = Image.MAX_IMAGE_PIXELS or 89_478_485
_MOST_INFLATED = 4 * _LIMIT
"""Bytes: the largest film in 16 bits, twice."""
_MOST_STRETCHED = 10.0
_STRIP = 1 << 16
"""Pixels: a quarter of a megabyte."""
_SAME_SPACING = 0.005
"""Pixels whose sides differ by less, as a share, count as square."""

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_ENCAPSULATED = b"1.2.840.10008.1.2.4."  # JPEG, JPEG-LS, JPEG 2000 and video
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
_CODESTREAM_ENDS = b"\xff\xd9"


def is_dicom(content: bytes, suffix: str = "") -> bool:
    """True for the DICM mark, and without one for a name that ends in .dcm or .dicom.

    `content` may be the beginning of a file.
    """
    if content[128:132] == b"DICM":
        return True
    known = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
    return suffix.lower() in SUFFIXES and not content.startswith(known)


def read_dicom(content: bytes) -> tuple[np.ndarray, dict[str, Any]]:
    """The film as float32 in [0, 1], `height width`, and what is to be noted of it.

    1. The stored values, signed or not, are unpacked and, for grey films, taken through the
       modality LUT, or multiplied by the rescale slope and shifted by its intercept.
    2. They become grey by the first VOI LUT if there is one, else by the first window (LINEAR,
       LINEAR_EXACT or SIGMOID; DICOM PS3.3 C.11.2.1.2), clipped to [0, 1]. Where there is neither,
       or the window has no width, the smallest value of the film is 0 and the largest 1: the bits
       that are stored say little, since many devices use a part of them only.
    3. MONOCHROME1 is inverted, so that bone is bright; padding is black.
    4. Pixels that are not square by the pixel aspect ratio or the pixel spacing are resampled
       (bicubic) to the finer of the two spacings.

    Colour (RGB, YBR, palette) becomes luminance over the largest value of its bits, with steps 1 to
    3 left out. Noted are `voi` (`lut`, `window`, `range` or `colour`), `stored_range`, and
    `burnt_in_annotation` where the file says YES or NO. Raises `DataError` for what is damaged, cut
    short, of several frames, without a picture, or of more than 89 megapixels (by the header,
    before anything is unpacked), and `MissingExtraError` where a decoder is not installed.
    """
    pydicom = _pydicom()
    with quiet():
        try:
            dataset = pydicom.dcmread(io.BytesIO(_inflatable(content)), force=True)
            _check(dataset)
            return _film(dataset)
        except (MissingExtraError, DataError):
            raise
        except NotImplementedError as error:
            raise DataError("the DICOM film is stored in a way that is not known") from error
        # Decoders raise whatever they like on damaged films, and quote what they found.
        except Exception as error:  # noqa: BLE001
            kind = type(error).__name__
            raise DataError(f"the DICOM film cannot be read ({kind})") from None


_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_filters: warnings.catch_warnings[Any] | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps image libraries from warning while any thread is inside, and bombs from passing.

    Python's own way to set warnings aside is not made for several threads: the one that leaves
    first would undo it for the others.
    """
    global _quiet_depth, _quiet_filters
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_filters = warnings.catch_warnings()
            _quiet_filters.__enter__()
            warnings.filterwarnings("ignore", module=r"(pydicom|pylibjpeg|PIL|pairaug\.dicom)\b")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0 and _quiet_filters is not None:
                _quiet_filters.__exit__(None, None, None)
                _quiet_filters = None


def _pydicom() -> Any:
    try:
        import pydicom
        import pydicom.pixels
    except ImportError as error:
        raise MissingExtraError("reading DICOM", "pydicom", "dicom") from error
    # They quote the values that they find odd, and those may name a patient.
    for name in ("pydicom", "pylibjpeg", "libjpeg", "openjpeg"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return pydicom


def _inflatable(content: bytes) -> bytes:
    """`content`, once it is known that unpacking its data set gives no bomb."""
    if _DEFLATED not in content[132:1024] or content[128:132] != b"DICM":
        return content
    # The first element, 12 bytes, says how long the rest of the group is that is not deflated.
    start = 144 + struct.unpack_from("<L", content, 140)[0]
    unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[start:], _MOST_INFLATED)
    if len(unpacked) >= _MOST_INFLATED:
        raise DataError("the image is too large to be a film")
    return content


def _check(dataset: Any) -> None:
    """Raises `DataError` for what the header already tells to be no film."""
    if "PixelData" not in dataset or not dataset.get("Rows") or not dataset.get("Columns"):
        raise DataError("the DICOM file holds no picture, or is cut short before it")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise DataError("the DICOM file holds several frames, and a film is one")
    if dataset.Rows * dataset.Columns > _LIMIT:
        raise DataError("the image is too large to be a film")
    if not dataset.PixelData:
        raise DataError("the DICOM film is cut short")


def _film(dataset: Any) -> tuple[np.ndarray, dict[str, Any]]:
    stored = _stored(dataset)
    notes: dict[str, Any] = {"stored_range": [int(stored.min()), int(stored.max())]}
    if dataset.PhotometricInterpretation in _COLOUR:
        image = _luminance(stored, dataset)
        notes["voi"] = "colour"
    else:
        image, notes["voi"] = _grey(stored, dataset)
    flag = str(dataset.get("BurnedInAnnotation") or "").upper()
    if flag in ("YES", "NO"):
        notes["burnt_in_annotation"] = flag
    return _square_pixels(image, dataset), notes


def _stored(dataset: Any) -> np.ndarray:
    """The stored values, `height width` or `height width colour`; not to be written to."""
    from pydicom.pixels import get_decoder, pixel_array
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if not getattr(dataset, "file_meta", None) or "TransferSyntaxUID" not in dataset.file_meta:
        is_implicit, _ = dataset.original_encoding
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
        )
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or syntax.is_deflated:
        _check_length(dataset)
        return pixel_array(dataset, view_only=True)
    if not get_decoder(syntax).is_available:
        raise MissingExtraError("decompressing this DICOM film", "pylibjpeg", "dicom")
    if syntax.startswith(_ENCAPSULATED.decode()):
        _check_codestream(dataset)
        return pixel_array(dataset, decoding_plugin="pylibjpeg")
    return pixel_array(dataset, decoding_plugin="pydicom")


def _check_length(dataset: Any) -> None:
    num_bits = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        num_bits = num_bits * 2 // 3
    if len(dataset.PixelData) * 8 < num_bits:
        raise DataError("the DICOM film is cut short")


def _check_codestream(dataset: Any) -> None:
    """Raises `DataError` where the compressed film has no end, or another size than it says.

    Decoders fill up what is missing, and unpack what is too large.
    """
    from pydicom.encaps import generate_frames

    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    if not frame.rstrip(b"\0").endswith(_CODESTREAM_ENDS):
        raise DataError("the DICOM film is cut short")
    size = _codestream_size(frame)
    if size is not None and size != (dataset.Rows, dataset.Columns):
        raise DataError("the DICOM film has another size than its header says")


def _codestream_size(frame: bytes) -> tuple[int, int] | None:
    """(height, width) as a JPEG or JPEG 2000 stream tells them; None where they are not found."""
    start = frame.find(b"\xff\x4f\xff\x51")  # start of the stream, then its size
    if 0 <= start < 512:
        right, low, left, high = struct.unpack_from(">4L", frame, start + 8)
        return low - high, right - left
    place = 2
    while frame.startswith(b"\xff\xd8") and place + 9 <= len(frame) and frame[place] == 0xFF:
        marker, length = frame[place + 1], int.from_bytes(frame[place + 2 : place + 4], "big")
        # A frame header, SOF0 to SOF15 and JPEG-LS's; the three left out are tables.
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            height, width = struct.unpack_from(">2H", frame, place + 5)
            return height, width
        place += 1 if marker == 0xFF else 2 + length
    return None


def _grey(stored: np.ndarray, dataset: Any) -> tuple[np.ndarray, str]:
    """Grey levels in [0, 1], and by what they were made."""
    padding = _padding(stored, dataset)
    values = _modality(stored, dataset)
    if dataset.get("VOILUTSequence"):
        image, made_by = _by_lut(values, dataset), "lut"
    elif (window := _window(dataset)) is not None:
        image, made_by = _windowed(values, *window), "window"
    else:
        image, made_by = _by_range(values, padding), "range"
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        np.subtract(1.0, image, out=image)
    if padding is not None:
        image[padding] = 0.0
    return image, made_by


def _modality(stored: np.ndarray, dataset: Any) -> np.ndarray:
    from pydicom.pixels import apply_modality_lut

    if dataset.get("ModalityLUTSequence"):
        return apply_modality_lut(stored, dataset).astype(np.float32)
    values = stored.astype(np.float32)
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    if slope is not None and float(slope) != 1.0:
        values *= np.float32(float(slope))
    if intercept:
        values += np.float32(float(intercept))
    return values


def _by_lut(values: np.ndarray, dataset: Any) -> np.ndarray:
    from pydicom.pixels import apply_voi

    bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
    looked_up = apply_voi(np.rint(values).astype(np.int32), dataset, index=0)
    return np.clip(looked_up.astype(np.float32) / np.float32(2**bits - 1), 0.0, 1.0)


def _window(dataset: Any) -> tuple[float, float, str] | None:
    """(centre, width, function) of the first window; None where there is none that can be used."""
    centre, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if centre is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        return None
    return centre, width, function


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, str | int | float):
        return float(value)
    return float(value[0]) if len(value) else None


def _windowed(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """`values`, changed in place, by a window."""
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1.0
    if width == 0:
        return (values > centre).astype(np.float32)
    for strip in strips(values):
        strip -= np.float32(centre)
        if function == "SIGMOID":
            strip *= np.float32(-4.0 / width)
            np.exp(np.clip(strip, -80.0, 80.0, out=strip), out=strip)
            strip += np.float32(1.0)
            np.reciprocal(strip, out=strip)
        else:
            strip /= np.float32(width)
            strip += np.float32(0.5)
            np.clip(strip, 0.0, 1.0, out=strip)
    return values


def _by_range(values: np.ndarray, padding: np.ndarray | None) -> np.ndarray:
    """`values`, changed in place, from the film's smallest to its largest."""
    shown = values if padding is None or padding.all() else values[~padding]
    low, high = float(shown.min()), float(shown.max())
    for strip in strips(values):
        strip -= np.float32(low)
        if high > low:
            strip /= np.float32(high - low)
        np.clip(strip, 0.0, 1.0, out=strip)
    return values


def strips(image: np.ndarray) -> Iterator[np.ndarray]:
    """Views of some rows each, few enough that several passes over one stay in the cache.

    A whole film goes through memory with every pass, which workers share.
    """
    rows = max(1, _STRIP // max(1, image[0].size))
    for start in range(0, len(image), rows):
        yield image[start : start + rows]


def _padding(stored: np.ndarray, dataset: Any) -> np.ndarray | None:
    """Where the file says that there is no picture, or None."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((int(value), int(value if limit is None else limit)))
    padding = (stored >= low) & (stored <= high)
    return padding if padding.any() else None


def _luminance(stored: np.ndarray, dataset: Any) -> np.ndarray:
    """Colour as grey, by the weights that Pillow takes (ITU-R 601)."""
    from pydicom.pixels import apply_color_lut

    bits = int(dataset.BitsStored)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
        bits = stored.dtype.itemsize * 8
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.clip(stored[..., :3] @ (weights / np.float32(2**bits - 1)), 0.0, 1.0)


def _square_pixels(image: np.ndarray, dataset: Any) -> np.ndarray:
    """The film with pixels as high as they are wide."""
    height, width = image.shape
    stretch = _stretch(dataset)
    if abs(stretch - 1.0) <= _SAME_SPACING:
        return image
    if not 1 / _MOST_STRETCHED <= stretch <= _MOST_STRETCHED:
        raise DataError("the DICOM film has pixels that are no pixels of a film")
    size = (round(width / min(stretch, 1.0)), round(height * max(stretch, 1.0)))
    if size[0] * size[1] > _LIMIT:
        raise DataError("the image is too large to be a film")
    resized = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(resized).clip(0.0, 1.0)


def _stretch(dataset: Any) -> float:
    """How high a pixel is for its width; 1 where the file does not say."""
    for name in ("PixelAspectRatio", *_SPACINGS):
        value = dataset.get(name)
        if value is not None and not isinstance(value, str) and len(value) == 2:
            high, wide = float(value[0]), float(value[1])
            if high > 0 and wide > 0:
                return high / wide
    return 1.0
