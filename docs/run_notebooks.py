"""Runs the notebooks of examples/ for the documentation; a hook of mkdocs, see mkdocs.yml.

The results go to docs/notebooks, which is not committed. A notebook runs again only when it or the
package has changed.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
OUT = ROOT / "docs" / "notebooks"
_SECONDS = 300
"""Longest time for one cell."""


def on_pre_build(config: Any) -> None:
    """Called by mkdocs before it looks for pages."""
    del config
    OUT.mkdir(exist_ok=True)
    sources = b"".join(path.read_bytes() for path in sorted((ROOT / "src").rglob("*.py")))
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        current = hashlib.sha256(path.read_bytes() + sources).hexdigest()
        done = OUT / path.name
        if done.is_file() and nbformat.read(done, 4).metadata.get("made_from") == current:
            continue
        with tempfile.TemporaryDirectory() as folder:
            notebook = run_notebook(path, Path(folder))
        notebook.metadata["made_from"] = current
        nbformat.write(notebook, done)


def run_notebook(path: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs, run in `folder`; raises where a cell does."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        # Else the kernel warns that its socket on this machine is not encrypted.
        extra_arguments=["--log-level=ERROR"],
    )
    # Tiny models gain nothing from a second thread.
    return client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"})
