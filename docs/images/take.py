"""Takes the README's picture: the top of a run's summary page, by headless Chromium.

    python docs/images/take.py runs/demo docs/images/overview.png

The picture has at most 256 colours, so that it stays well below the limit on files in the project.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 1240, 1690
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
    """Writes the picture of the run that the first argument names to the path of the second."""
    run, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("taking a picture needs chromium")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "page.png"
        command = [browser, *_FLAGS, f"--user-data-dir={folder}/profile", f"--screenshot={shot}"]
        command += [f"--window-size={WIDTH},{HEIGHT}", (run / "summary.html").as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        page = Image.open(io.BytesIO(shot.read_bytes())).convert("RGB")
    page.quantize(256, dither=Image.Dither.NONE).save(out, optimize=True)
    sys.stdout.write(f"{out}: {out.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
