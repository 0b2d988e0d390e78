"""Where an image is, when its path is not quite written as the disk has it; and what a message may
say of a path that leads to nothing.

A path can name a patient. Of its folders only those are shown that datasets commonly have, or that
images of several patients lie in.
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
"""Looked into for an image; a dataset's own folders are fewer, patients' are more."""


def locate(root: Path, written: Path) -> Path:
    """`written`, or the one file in `root` that it can only mean.

    Backslashes, `%20`, `file://`, `~`, blanks at the ends, and accents that the disk spells as
    letter and sign, or the other way round, are read where no file has the path as it is written
    and one reading leads to a file.
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
    """The file at `text`, each of its names in the form of Unicode in which it is there."""
    place = root
    for name in _names_below(root, Path(text)):
        forms = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
        place = next((place / form for form in forms if _is_there(place / form)), place / name)
    return place if _is_file(place) else None


def _names_below(root: Path, path: Path) -> tuple[str, ...]:
    """The names of `path` below `root`; none where it leads elsewhere."""
    whole = Path(os.path.normpath(root / path))
    return whole.relative_to(root).parts if whole.is_relative_to(root) else ()


class Missing:
    """Images that are not where a source says: what was tried, and where they are instead."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # Folder → a patient with images in it, and of how many patients it has some, up to three.
        self._patients: dict[str, tuple[str | None, int]] = {}
        self._is_first = True

    def shown(self, path: Path, patient_id: str | None) -> str:
        """`path` as far as it may be shown, by what has been asked before in the source's order.

        Remembers whose image is said to be there; None: it is not known whose.
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
        """A sentence with what was tried, `shown`, and how much of it exists.

        The first time, also the folder that would be right for `read.root`, if one is near.
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
    """A message's hint at a folder near `folder` that has files matching `pattern`, or nothing."""
    above = list(islice(folder.parents, 2))
    for place in (*above, *(_folders_in(folder) if folder.is_dir() else ())):
        if any(place.glob(pattern)):
            return f"; {place} has it: set read.root to that"
    return ""


def _is_there(path: Path) -> bool:
    """True where something has this path; a text that no path can be, such as a report, has not."""
    return os.path.exists(path)  # noqa: PTH110 (Path.exists raises where a name is too long)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113


def _depth_found(root: Path, names: tuple[str, ...]) -> int:
    """The number of names, from the first on, that are there one in the other."""
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
    except OSError:  # A hint is not worth an error of its own.
        return
