"""Finds images whose path is spelled differently on disk, and describes missing ones in messages.

A path can name a patient. Messages show only folders that datasets commonly have, or that hold
images of several patients.
"""

from __future__ import annotations

import os.path
import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from pairaug.findings.image_words import RADIOGRAPH_NOUNS

_ODD = re.compile(r"[\\%]|^~|^file:|^\s|\s$|[^\x00-\x7f]", re.IGNORECASE)
_COMMON = re.compile(
    rf"files|{RADIOGRAPH_NOUNS}|images?(_\d{{3}})?|imgs?|pngs?|jpe?gs?|dicoms?|dcms?|tiffs?|data|raw|train(ing)?|"
    r"valid(ation|ate)?|val|test|frontal|lateral|x-?rays?|cxrs?|radiographs?|chest|p1\d",
    re.IGNORECASE,
)
_SUFFIX = re.compile(r"\.(png|jpe?g?|jfif|tiff?|bmp|gif|webp|dcm|dicom|ima)", re.IGNORECASE)
_MAX_FOLDERS = 200
"""Folders searched at most for an image: a dataset's own folders are fewer, patients' are more."""


def locate(root: Path, written: Path) -> Path:
    """`written`, or the only file in `root` that it can refer to.

    If no file has the path as written, backslashes, `%20`, `file://`, `~`, blanks at the ends and
    the other Unicode form of accents are tried; the result counts if exactly one file matches.
    """
    if not _ODD.search(str(written)) or _is_there(root / written):
        return written
    found = {path for text in _readings(str(written)) if (path := _spelt(root, text))}
    return found.pop() if len(found) == 1 else written


def _readings(text: str) -> list[str]:
    texts = [text]
    for read in (
        str.strip,
        lambda each: re.sub(r"(?i)^file:/*(localhost/)?", "/", each),
        lambda each: each.replace("\\", "/"),
        unquote,
        os.path.expanduser,
    ):
        texts += [read(each) for each in texts]
    return list(dict.fromkeys(texts))


def _spelt(root: Path, text: str) -> Path | None:
    """The file at `text`, each name in its Unicode form on disk."""
    found = root
    for name in _names_below(root, Path(text)):
        forms = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
        found = next((found / form for form in forms if _is_there(found / form)), found / name)
    return found if _is_file(found) else None


def _names_below(root: Path, path: Path) -> tuple[str, ...]:
    """Parts of `path` below `root`; empty if it leads elsewhere."""
    whole = Path(os.path.normpath(root / path))
    return whole.relative_to(root).parts if whole.is_relative_to(root) else ()


class Missing:
    """Images that are not at the stated path: the path tried, and where they are instead."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # Folder → a patient with images in it, and its number of patients, up to three.
        self._patients: dict[str, tuple[str | None, int]] = {}
        self._is_first = True

    def shown(self, path: Path, patient_id: str | None) -> str:
        """The part of `path` that may be shown, given the earlier calls in the source's order.

        Remembers the patient of the image; None if unknown.
        """
        names = _names_below(self._root, path)
        for depth in range(1, min(len(names), 3) if patient_id else 0):
            folder = "/".join(names[:depth])
            last, num = self._patients.get(folder, (None, 0))
            if num < 3 and last != patient_id:
                self._patients[folder] = patient_id, num + 1
        folders = [self._name(names[: depth + 1]) for depth in range(len(names) - 1)]
        suffix = path.suffix if _SUFFIX.fullmatch(path.suffix) else ""
        return "/".join((*folders, f"…{suffix}"))

    def explain(self, path: Path, shown: str) -> str:
        """A sentence with the path that was tried, `shown`, and the part of it that exists.

        The first sentence also suggests a folder near by for `read.root`, if one fits.
        """
        names = _names_below(self._root, path)
        said = f"no file at {shown} in {self._root}"
        depth = _depth_found(self._root, names)
        if depth < len(names) - 1:
            said += f", which has no folder {'/'.join(shown.split('/')[: depth + 1])}"
        if _ODD.search(str(path)):
            said += "; the path has a backslash, a %, a ~, blanks or accents, which may not fit"
        if self._is_first:
            self._is_first = False
            said += self._remedy(names)
        return said

    def _name(self, names: tuple[str, ...]) -> str:
        is_shared = self._patients.get("/".join(names), (None, 0))[1] >= 3
        return names[-1] if is_shared or _COMMON.fullmatch(names[-1]) else "…"

    def _remedy(self, names: tuple[str, ...]) -> str:
        if not names:
            return ""
        for above in islice(self._root.parents, 2):
            if _is_file(above.joinpath(*names)):
                return f"; it is there from {above}: set read.root (or image_root) to that"
        for below in _folders_in(self._root):
            if _is_file(below.joinpath(*names)):
                where = below if _COMMON.fullmatch(below.name) else "a folder in it"
                return f"; it is there from {where}: set read.root (or image_root) to that"
        for less in range(1, len(names)):
            if _is_file(self._root.joinpath(*names[less:])):
                return f"; it is there without the first {less} folders of the path"
        return ""


def near(folder: Path, pattern: str) -> str:
    """Hint at a folder near `folder` with files matching `pattern`; empty if there is none."""
    above = list(islice(folder.parents, 2))
    for candidate in (*above, *(_folders_in(folder) if folder.is_dir() else ())):
        if any(candidate.glob(pattern)):
            return f"; {candidate} has it: set read.root to that"
    return ""


def _is_there(path: Path) -> bool:
    """True if `path` exists; False for text that cannot be a path, such as a report."""
    return os.path.exists(path)  # noqa: PTH110 (Path.exists raises where a name is too long)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113


def _depth_found(root: Path, names: tuple[str, ...]) -> int:
    """Number of leading `names` that exist as nested folders."""
    for depth in range(len(names)):
        if not _is_there(root.joinpath(*names[: depth + 1])):
            return depth
    return len(names)


def _folders_in(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, _MAX_FOLDERS):
                if entry.is_dir():
                    yield Path(entry.path)
    except OSError:  # A hint must not raise.
        return
