"""Tar shards in WebDataset's layout: consecutive members of one key are one item.

Members are read one after another and never unpacked to disk.
"""

from __future__ import annotations

import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pairaug.errors import DataError
from pairaug.imaging.files import MAX_BYTES
from pairaug.readers.listing import is_passed_over

_EXTENDED = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_TEXTS = ("txt", "text", "caption", "report", "json", "cls")
_MAX_TEXT = 1 << 20
"""Bytes; larger members are not reports or records."""
_MAX_HEADER = 1 << 20
"""Bytes of extended headers with long names, which are read into memory whole."""

# A UID with or without a prefix, then a dot and letters: CXR_1.2.840.113619.2.5.png.
_UID = re.compile(r"(?:[A-Za-z]\w*[-_])?[0-2](?:\.\d+){2,}(?:[-_]\w*)?(?=\.[A-Za-z])")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")


@dataclass(slots=True)
class TarItem:
    """The members of one key, by suffix."""

    key: str
    where: str
    members: dict[str, bytes] = field(default_factory=dict)
    group: str | None = None
    """The part of `key` before its first dot, if it has dots."""
    is_unsafe: bool = False
    """True if a member's name is an absolute path, or leads outside by `..`."""
    is_too_large: bool = False
    """True if a wanted member is too large for a report or an image; it is left out."""


def shards_of(patterns: Sequence[Path]) -> list[Path]:
    """The files that match names with `{000..012}`, `{a,b}`, `*` and `?`, in that order."""
    found: list[Path] = []
    for pattern in patterns:
        for name in _expand(str(pattern)):
            path = Path(name)
            if any(sign in path.name for sign in "*?"):
                matches = sorted(each for each in path.parent.glob(path.name) if each.is_file())
                if not matches:
                    raise DataError(f"no shard matches {path}; set read.shards to your tars")
                found += matches
            elif path.is_file():
                found.append(path)
            else:
                raise DataError(f"the shard {path} does not exist; set read.shards to your tars")
    return list(dict.fromkeys(found))


def items_of(
    shard: Path, wanted: frozenset[str], last: frozenset[str] = frozenset()
) -> Iterator[TarItem]:
    """The items of a shard with the content of their `wanted` members; others are skipped.

    `wanted` are suffixes after the key, `last` the final parts of longer suffixes such as
    `lateral.png`. A key ends at the first dot, unless an image and its text have the same name
    beyond it (`cxr.v1.0002.png`, `cxr.v1.0002.txt`). A key whose members repeat is two items.
    Hidden members and anything but regular files are ignored, and members too large for their kind
    are not read. A damaged or cut shard raises `DataError` after its readable items.
    """
    item: TarItem | None = None
    number = 0
    try:
        with tarfile.open(shard, "r:*", tarinfo=_Member) as tar:
            for number, member in enumerate(tar, 1):
                # tarfile's list of members would grow with the shard.
                tar.members = []  # type: ignore[attr-defined]
                if not member.isfile() or is_passed_over(member.name):
                    continue
                key, suffix = _key_of(member.name)
                if item is None or item.key != key or _is_next(item, suffix):
                    if item is not None:
                        yield _whole(item)
                    item = TarItem(key, f"shard {shard.name} member {number}")
                item.is_unsafe |= _is_unsafe(member.name)
                item.members[suffix] = b""
                is_wanted = suffix in wanted or suffix.rpartition(".")[2] in last
                if is_wanted and member.size > _most(suffix):
                    item.is_too_large = True
                elif is_wanted and (content := tar.extractfile(member)):
                    item.members[suffix] = content.read()
            _check_end(tar)
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise DataError(
            f"{shard} is damaged or cut short after member {number} ({type(error).__name__}); "
            "fetch it again, or leave it out of read.shards"
        ) from error
    if item is not None:
        yield _whole(item)


def _is_next(item: TarItem, suffix: str) -> bool:
    """True if a member of the same key starts the next item."""
    own = _own_name(item)
    return suffix in item.members or bool(own and own != suffix.rpartition(".")[0])


def _own_name(item: TarItem) -> str | None:
    """The part between the first and the last dot, if an image, a text and all members share it."""
    names, _, kinds = zip(*(suffix.rpartition(".") for suffix in item.members), strict=True)
    has_both = 0 < sum(kind in _TEXTS for kind in kinds) < len(kinds)
    return names[0] if has_both and len(set(names)) == 1 else None


def _whole(item: TarItem) -> TarItem:
    """`item` under its longer key, if its members share a name beyond the first dot."""
    if not (own := _own_name(item)):
        return item
    members = {suffix.rpartition(".")[2]: content for suffix, content in item.members.items()}
    return replace(item, key=f"{item.key}.{own}", group=item.key, members=members)


class _Member(tarfile.TarInfo):
    """A member whose extended header is checked for its length before it is read."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENDED and self.size > _MAX_HEADER:
            raise tarfile.ReadError("a header of more than a megabyte")
        return super()._proc_member(tar)  # type: ignore[misc]


def _most(suffix: str) -> int:
    return _MAX_TEXT if suffix.rpartition(".")[2] in _TEXTS else MAX_BYTES


def _check_end(tar: tarfile.TarFile) -> None:
    """Raises if a tar lacks its end marker, which `tarfile` does not notice."""
    file = tar.fileobj
    if file is not None:
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no end marker")


def _key_of(name: str) -> tuple[str, str]:
    """(key, suffix): the name before its first dot, and the rest in lower case.

    The dots of a DICOM UID belong to the key. Bytes of a name that are not UTF-8 are escaped, since
    an id has to be text.
    """
    name = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    folder, slash, file = name.rpartition("/")
    uid = _UID.match(file)
    stem, suffix = (uid.group(), file[uid.end() + 1 :]) if uid else file.partition(".")[::2]
    return f"{folder}{slash}{stem}", suffix.lower()


def _is_unsafe(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or name[1:2] == ":"


def _expand(name: str) -> Iterator[str]:
    for pattern in (_RANGE, _CHOICE):
        match = pattern.search(name)
        if match:
            for choice in _choices(match):
                yield from _expand(f"{name[: match.start()]}{choice}{name[match.end() :]}")
            return
    yield name


def _choices(match: re.Match[str]) -> list[str]:
    if match.re is _CHOICE:
        return match.group(1).split(",")
    first, last = match.groups()
    return [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
