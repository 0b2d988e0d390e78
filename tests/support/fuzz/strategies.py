"""Hostile inputs: valid bytes that are damaged, and values that no field expects."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

TOKENS = [
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b"\n", b"\r", b"\t", b",", b";", b"\xff",
    b"\x1f\x8b", b"PK\x03\x04", b"nan", b"NaN", b"null", b"true", b"-1", b"1e999", b"../../", b"/",
    b"\\", b"%20", b"\\ud800", b"\xed\xa0\x80", b"{", b"}", b"[", b"]", b"<", b">", b"&", b"<!--",
    b"--", b": ", b"- ", b"&a ", b"*a", b"!!python/object:os.system ", b"9" * 5000, b"[" * 3000,
    b'{"a":' * 3000, b"\xff" * 8, b"\0" * 512, b"\x7f\xff\xff\xff", b"x" * 70_000,
    "é".encode(), "́".encode(), "‮".encode(), "\u2028".encode(), "🫁".encode(),
    b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;&b;&b;">]>',
]  # fmt: skip
"""Pieces that mean something to one parser or another."""

_PLACE = st.integers(0, 65535)
"""A place in bytes of any length, as a part of 65536."""


class Damage(NamedTuple):
    """One change of bytes: `kind` at `place`, over `length`, with `piece`."""

    kind: str
    place: int
    length: int
    piece: bytes

    def done(self, content: bytes) -> bytes:
        """`content`, damaged."""
        start = self.place * (len(content) + 1) >> 16
        end = min(len(content), start + self.length)
        match self.kind:
            case "flip":
                changed = bytes(
                    byte ^ (1 << (self.length % 8)) for byte in content[start : start + 1]
                )
                return content[:start] + changed + content[start + 1 :]
            case "write":
                return content[:start] + self.piece + content[start + len(self.piece) :]
            case "insert":
                return content[:start] + self.piece + content[start:]
            case "delete":
                return content[:start] + content[end:]
            case "repeat":
                return content[:end] + content[start:end] * 40 + content[end:]
            case "cut":
                return content[:start]
            case "swap":
                return content[start:] + content[:start]
            case _:
                return self.piece


DAMAGES = st.lists(
    st.builds(
        Damage,
        st.sampled_from(
            ["flip", "write", "insert", "write", "insert", "delete", "repeat", "cut", "swap", "all"]
        ),
        _PLACE,
        st.integers(1, 300),
        st.sampled_from(TOKENS) | st.binary(max_size=8),
    ),
    min_size=1,
    max_size=4,
)
"""What is done to valid bytes, one after another."""


def damaged(content: bytes, damages: Sequence[Damage]) -> bytes:
    """`content` after all of `damages`."""
    for damage in damages:
        content = damage.done(content)
    return content


TEXTS = (
    st.text(st.characters(exclude_categories=()), max_size=40)
    | st.sampled_from(
        ["", " ", "nan", "None", "1", "-1", "0.5", "1e3", "1e999", "true", "../..", "~nobody/x",
         "a\0b", "\ud800", "=1+1", "a,b", 'a"b', "a\nb", "2001-99-99", "٣", "9" * 5000,
         "x" * 70_000]
    )
)  # fmt: skip
NUMBERS = (
    st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from([0, -1, 1, 2**31, 2**63, 2**64, 10**9, 1e308, 1e-320, float("nan")])
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
"""Values of any type, where one of another is expected."""

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
) | st.just(json.loads("[" * 200 + "]" * 200))


class Change(NamedTuple):
    """One value of a tree of JSON put in the place of another, or taken out (`lost`)."""

    place: int
    value: Any
    lost: bool


CHANGES = st.lists(
    st.builds(Change, _PLACE, JSON_VALUES, st.integers(0, 3).map(lambda one: one == 0)),
    min_size=1,
    max_size=3,
)
"""What is done to a tree of JSON, one after another."""


def changed(tree: Any, changes: Sequence[Change]) -> Any:
    """A copy of a tree of JSON, with other values in some places."""
    tree = json.loads(json.dumps(tree))
    for change in changes:
        places = _places(tree)
        if not places:
            return change.value
        holder, key = places[change.place * len(places) >> 16]
        if change.lost:
            del holder[key]
        else:
            # A copy, since a tree that holds itself has no end.
            holder[key] = copy.deepcopy(change.value)
    return tree


def _places(tree: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    level = [tree]
    while level:
        below = []
        for one in level:
            keys = list(one) if isinstance(one, dict) else range(len(one))
            found += [(one, key) for key in keys]
            below += [one[key] for key in keys if isinstance(one[key], dict | list)]
        level = below
    return found


_ODD = ["", "NaN", "1,5", "abc", "1e400", "-1", "0", "65536", "1\\2", "\\", "9" * 16]
_WHOLE = [0, 1, 2, 3, 7, 12, 16, 17, 32, 64, 65535, None, [], [1, 2]]
DICOM_VALUES: dict[str, list[Any]] = {
    **dict.fromkeys(
        ["Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit",
         "PixelRepresentation", "PlanarConfiguration", "PixelPaddingValue",
         "SmallestImagePixelValue", "LargestImagePixelValue"],
        _WHOLE,
    ),
    **dict.fromkeys(
        ["WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "NumberOfFrames",
         "PixelSpacing", "ImagerPixelSpacing"],
        _ODD,
    ),
    "PhotometricInterpretation": ["", "MONOCHROME1", "RGB", "PALETTE COLOR", "YBR_FULL_422", "x"],
    "VOILUTFunction": ["", "SIGMOID", "LINEAR_EXACT", "x"],
    "PresentationLUTShape": ["", "INVERSE", "IDENTITY", "x"],
    "Modality": ["", "CR", "SR", "x" * 99],
    "PixelData": [b"", b"\0", b"\0" * 10_000_000],
    "SpecificCharacterSet": ["", "ISO_IR 6", "x", "ISO 2022 IR 87\\x"],
    "LossyImageCompression": ["", "01", "x"],
    "BurnedInAnnotation": ["", "YES", "x"],
    "FloatPixelData": [b"\0" * 4],
    "TransferSyntax": ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80",
                       "1.2.840.10008.1.2.4.50", "1.2.3", ""],
}  # fmt: skip
"""Element → values that it may have in a file that is odd or hostile."""
