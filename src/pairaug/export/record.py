"""What every layout tells of a pair, beside its image, and of the terms that it comes under."""

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
    """Where the real pairs come from, and on what terms, as far as the run has noted it."""

    source: str = "not stated"
    license: str = "not stated"
    access: str = "not stated"

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Terms:
        """The terms that a run's `run.json` states."""
        source = recipe.get("source") or {}
        stated = {
            "source": source.get("name"),
            "license": source.get("license"),
            "access": source.get("access"),
        }
        # On one line, as file heads and tables of a card want it.
        texts = {name: " ".join(str(value).split()) for name, value in stated.items()}
        return cls(**{name: text for name, text in texts.items() if stated[name] and text})

    @property
    def restricted(self) -> bool:
        """True unless the source is known to be public."""
        return self.access != "public"

    def stem(self, split: str) -> str:
        """What the names of a split's files begin with."""
        return f"restricted-{split}" if self.restricted else split

    def as_metadata(self) -> dict[str, Any]:
        """The terms as plain values, for layouts with a place for them."""
        return {
            "source": self.source,
            "license": self.license,
            "access": self.access,
            "restricted": self.restricted,
        }


@dataclass(frozen=True, slots=True)
class Exported:
    """A pair as the writers of all layouts are given it."""

    pair: Pair
    image: EncodedImage
    text: str
    """What the image is paired with."""
    record: Mapping[str, Any]
    key: str
    """A name that is safe in files and like no other pair's."""


class Writer(Protocol):
    """One layout. Whatever becomes of the export, `close` is called once."""

    def add(self, item: Exported) -> None: ...

    def close(self) -> None: ...

    def finish(self, edition: str) -> None:
        """Called after `close` when all pairs are in; no other contents have the same edition."""
        ...


def record_of(pair: Pair, terms: Terms) -> dict[str, Any]:
    """What is known of a pair beside its image, as plain JSON values."""
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
    """A name for a pair's files: readable, short, and unlike any other pair's.

    WebDataset ends a key at the first dot, and a path may not leave its folder, so dots, slashes
    and the like are replaced.
    """
    slug = re.sub(r"[^A-Za-z0-9_~-]", "_", pair_id)[-_LONGEST_SLUG:]
    return f"{slug}-{blake2b(pair_id.encode(), digest_size=10).hexdigest()}"
