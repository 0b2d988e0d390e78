"""Takes the documentation's pictures by headless Chromium.

    python docs/images/take.py runs/demo/summary.html docs/images/overview.png
    python docs/images/take.py runs/utility-phantom/utility.html docs/images/utility.png --figure

The first takes the top of a page, the second the page's figure alone. A picture has at most 256
colours, so that it stays well below the limit on files in the project.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

_PAGE = (1240, 1690)
_FIGURE_WIDTH = 770
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
)


def main() -> None:
    """Writes the picture of a page."""
    parser = argparse.ArgumentParser(description="Take a picture of a page.")
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--figure", action="store_true", help="the page's first figure alone")
    given = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("taking a picture needs chromium")
    with tempfile.TemporaryDirectory() as folder:
        page, (width, height) = given.page.resolve(), _PAGE
        if given.figure:
            text, (width, height) = _figure_of(page.read_text(encoding="utf-8"))
            page = Path(folder) / "figure.html"
            page.write_text(text, encoding="utf-8")
        shot = Path(folder) / "page.png"
        command = [browser, *_FLAGS, f"--user-data-dir={folder}/profile", f"--screenshot={shot}"]
        command += [f"--window-size={width},{height}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        taken = Image.open(io.BytesIO(shot.read_bytes())).convert("RGB")
    taken.quantize(256, dither=Image.Dither.NONE).save(given.picture, optimize=True)
    sys.stdout.write(f"{given.picture}: {given.picture.stat().st_size:,} bytes\n")


def _figure_of(page: str) -> tuple[str, tuple[int, int]]:
    """A page that has only the first SVG of `page`, in its style, and the size to take it in."""
    style = re.search(r"<style>.*?</style>", page, re.DOTALL)
    figure = re.search(r'<svg viewBox="0 0 (\d+) (\d+)".*?</svg>', page, re.DOTALL)
    if style is None or figure is None:
        sys.exit("the page has no figure")
    margin = 20
    width, height = (int(number) for number in figure.groups())
    shown = round(height * (_FIGURE_WIDTH - 2 * margin) / width)
    frame = (
        f"<style>body, svg {{ margin: 0; max-width: none }} body {{ padding: {margin}px }}</style>"
    )
    text = f"<!doctype html><meta charset='utf-8'>{style.group()}{frame}{figure.group()}"
    return text, (_FIGURE_WIDTH, shown + 2 * margin)


if __name__ == "__main__":
    main()
