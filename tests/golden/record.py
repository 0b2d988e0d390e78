"""Record what a small demo run contains, so that a refactor can show that only names changed.

    python tests/golden/record.py            compare with run.json, exactly
    python tests/golden/record.py --write    write run.json again

Compared by value, not by bytes: ids, texts, labels, decisions, scores and image hashes of every
pair of the last stage. Hashes hold on one kind of CPU only; the test compares thumbnails instead
of them.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pairaug.manifest import read_pairs
from pairaug.pair import Pair

RECORD = Path(__file__).with_name("run.json")
_THUMBNAIL = 8  # pixels a side


def settings() -> dict[str, Any]:
    """Overrides of the demo preset: twelve patients and few steps, about half a minute."""
    return {
        "device": "cpu",
        "part_size": 4,
        "read.num_patients": 12,
        "generate.num_inference_steps": 8,
        "edit.num_inference_steps": 8,
        "prune.inter.threshold": 0.6,
        "prune.intra.margin": 0.3,
    }


def make_run(out: Path) -> Path:
    """The folder of a finished run of `settings`."""
    import torch

    from pairaug.config import load_settings
    from pairaug.run import RunFolder, run

    torch.set_num_threads(1)  # another number of threads is another order of sums
    overrides = [f"{name}={value}" for name, value in settings().items()]
    folder = RunFolder(out)
    run(load_settings(preset="demo", overrides=overrides), folder)
    return out


def content(folder: Path) -> list[dict[str, Any]]:
    """One entry for each pair of the pruned run, in the order of its parts."""
    return [_entry(pair) for pair in read_pairs(folder / "prune")]


def _entry(pair: Pair) -> dict[str, Any]:
    picture = None if pair.image is None else pair.image.png
    return {
        "id": pair.id,
        "parent": pair.parent_id,
        "branch": pair.branch.value,
        "split": pair.split,
        "findings": pair.report.findings,
        "impression": pair.report.impression,
        "source_report": pair.source_report,
        "labels": dict(sorted(pair.labels.items())),
        "scores": {name: round(value, 5) for name, value in sorted(pair.scores.items())},
        "drop": None if pair.drop is None else f"{pair.drop.stage}: {pair.drop.reason}",
        "image": None if picture is None else _picture(picture),
    }


def _picture(content: bytes) -> dict[str, Any]:
    with Image.open(io.BytesIO(content)) as opened:
        pixels = np.asarray(opened)
        small = opened.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
        thumbnail = np.asarray(small).tolist()
    return {"sha256": hashlib.sha256(pixels.tobytes()).hexdigest(), "thumbnail": thumbnail}


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        found = content(make_run(Path(scratch) / "golden"))
    if "--write" in sys.argv:
        lines = ",\n".join(json.dumps(entry) for entry in found)
        RECORD.write_text(f"[\n{lines}\n]\n")
        return 0
    expected = json.loads(RECORD.read_text())
    different = [
        f"{new['id']}: {name}: {old.get(name)!r} is now {new[name]!r}"
        for old, new in zip(expected, found, strict=True)
        for name in new
        if old.get(name) != new[name]
    ]
    sys.stdout.write("".join(f"{line}\n" for line in different) or "nothing differs\n")
    return int(bool(different))


if __name__ == "__main__":
    raise SystemExit(main())
