"""HTML for notebooks: images side by side with captions, and tables. All text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

_SIDE = 176
"""CSS pixels of an image: three of them fit into a page of text."""
_CAPTION = "font-size:85%;font-style:normal;text-align:left;margin:0;white-space:pre-line"


@dataclass(frozen=True, slots=True)
class Html:
    """HTML that a notebook shows for a cell's last value."""

    content: str

    def _repr_html_(self) -> str:
        return self.content

    def __repr__(self) -> str:
        return "<HTML; in a notebook, make it the last line of a cell>"


def picture(image: Image.Image, title: str, caption: str = "") -> str:
    """An image with its title above and a caption below."""
    source = f"data:image/png;base64,{base64.b64encode(_png(image)).decode()}"
    return (
        # What follows overrules the pages that a notebook is shown on.
        f'<figure style="margin:0;max-width:{_SIDE}px">'
        f'<div style="font-weight:600">{escape(title)}</div>'
        f'<img src="{source}" alt="{escape(title)}" style="width:{_SIDE}px;height:auto">'
        f'<figcaption style="{_CAPTION}">{escape(caption)}</figcaption></figure>'
    )


def side_by_side(pictures: Iterable[str]) -> str:
    """Pictures in a row, which wraps where there is no room."""
    style = "display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start"
    return f'<div style="{style}">{"".join(pictures)}</div>'


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table of text."""
    head = "".join(f"<th>{escape(str(cell))}</th>" for cell in header)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def diverging(difference: np.ndarray) -> Image.Image:
    """A difference as a colour picture: blue is darker, white is equal, red is brighter.

    Full colour is the largest difference, and at least 0.1.
    """
    scaled = difference / max(0.1, float(np.abs(difference).max()))
    brighter, darker = np.clip(scaled, 0.0, 1.0), np.clip(-scaled, 0.0, 1.0)
    colours = np.stack([1.0 - darker, 1.0 - brighter - darker, 1.0 - brighter], axis=-1)
    return Image.fromarray(np.rint(colours * 255.0).astype(np.uint8))


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
