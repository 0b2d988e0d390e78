"""A pair's record in every layout, and the source's terms of use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

from pairaug.export.encoded_image import EncodedImage
from pairaug.pair import Branch, Pair

_LONGEST_SLUG = 64


@dataclass(frozen=True, slots=True)
class Terms:
    """The source of the real pairs and its terms, as recorded in the run."""

    source: str = "not stated"
    license: str = "not stated"
    access: str = "not stated"

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Terms:
        """The terms in a run's `run.json`."""
        source = recipe.get("source") or {}
        stated = {
            "source": source.get("name"),
            "license": source.get("license"),
            "access": source.get("access"),
        }
        # On one line, for YAML headers and for tables of a card.
        texts = {name: " ".join(str(value).split()) for name, value in stated.items()}
        return cls(**{name: text for name, text in texts.items() if stated[name] and text})

    @property
    def restricted(self) -> bool:
        """True unless the source is known to be public."""
        return self.access != "public"

    def stem(self, split: str) -> str:
        """The beginning of the file names of a split."""
        return f"restricted-{split}" if self.restricted else split

    def as_metadata(self) -> dict[str, Any]:
        """The terms as plain values, for layouts that store metadata."""
        return {
            "source": self.source,
            "license": self.license,
            "access": self.access,
            "restricted": self.restricted,
        }


@dataclass(frozen=True, slots=True)
class Exported:
    """A pair as passed to the writers of all layouts."""

    pair: Pair
    image: EncodedImage
    text: str
    """The caption paired with the image."""
    record: Mapping[str, Any]
    key: str
    """A unique name that is safe in file names."""


class Writer(Protocol):
    """The writer of one layout. `close` is called once, even if the export fails."""

    def add(self, item: Exported) -> None: ...

    def close(self) -> None: ...

    def finish(self, edition: str) -> None:
        """Called after `close` if all pairs were written; `edition` hashes the contents."""
        ...


def record_of(pair: Pair, terms: Terms) -> dict[str, Any]:
    """A pair's record without its image, as plain JSON values."""
    return {
        "id": pair.id,
        "branch": pair.branch.value,
        "synthetic": pair.branch is not Branch.REAL,
        "split": pair.split,
        "patient_id": pair.patient_id,
        "parent_id": pair.parent_id,
        "source_patient_id": pair.source_patient_id,
        "findings": pair.report.findings,
        "impression": pair.report.impression,
        "labels": {name: int(state) for name, state in pair.labels.items() if state is not None},
        "scores": {name: value for name, value in pair.scores.items() if value is not None},
        "access": terms.access,
        "restricted": terms.restricted,
    }


def key_of(pair_id: str) -> str:
    """A name for a pair's files: readable, short and unique.

    WebDataset ends a key at the first dot, and a path must not leave its folder, so dots, slashes
    and similar characters are replaced.
    """
    slug = re.sub(r"[^A-Za-z0-9_~-]", "_", pair_id)[-_LONGEST_SLUG:]
    return f"{slug}-{blake2b(pair_id.encode(), digest_size=10).hexdigest()}"
