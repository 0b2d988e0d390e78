"""Edits with a compiled denoiser, in a process of its own; prints the counts as JSON.

In the test's own process every function is wrapped by the shape checker, which the compiler cannot
read through.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pairaug.diffusion.compiling import compile_denoiser
from pairaug.diffusion.edit_plan import EditOptions
from pairaug.diffusion.editing import edit_images
from pairaug.diffusion.pipeline import Pipeline, load_pipeline

OPTIONS = EditOptions(num_inference_steps=4, correct_drift=False, self_replace_steps=0.0)


def part(pipeline: Pipeline, num_images: int, options: EditOptions = OPTIONS) -> np.ndarray:
    images = np.random.default_rng(num_images).random((num_images, 16, 16), dtype=np.float32)
    before, after = ["mild edema"] * num_images, ["large nodule"] * num_images
    return edit_images(pipeline, images, before, after, options, batch_size=3)[0].images


def counted(folder: Path) -> dict[str, Any]:
    """`fullgraph` raises on a graph break; the backend counts graphs and runs them as they are."""
    num_graphs: list[int] = [0]

    def counting(graph: Any, inputs: Any) -> Callable[..., Any]:
        del inputs
        num_graphs[0] += 1
        return graph.forward

    plain, pipeline = load_pipeline(folder), load_pipeline(folder)
    compile_denoiser(pipeline.denoiser, counting)
    pipeline = replace(pipeline, is_compiled=True)
    after: list[int] = []
    images: list[np.ndarray] = []
    for num_images in (2, 2, 3):
        images.append(part(pipeline, num_images))
        after.append(num_graphs[0])
    differences = [
        np.abs(images[1] - part(plain, 2)).max(),
        np.abs(images[2] - part(plain, 3)).max(),
    ]
    return {
        "graphs": after,
        "repeats": bool(np.array_equal(images[0], images[1])),
        "difference": float(max(differences)),
    }


def to_machine_code(folder: Path) -> dict[str, Any]:
    """With the real compiler, and every kind of call that an edit makes."""
    plain, compiled = load_pipeline(folder), load_pipeline(folder, compile=True)
    largest = 0.0
    for local_blend in ("none", "difference"):
        options = replace(
            OPTIONS, local_blend=local_blend, correct_drift=True, self_replace_steps=0.5
        )
        difference = np.abs(part(compiled, 2, options) - part(plain, 2, options)).max()
        largest = max(largest, float(difference))
    return {"difference": largest}


if __name__ == "__main__":
    make = {"count": counted, "machine-code": to_machine_code}[sys.argv[1]]
    sys.stdout.write(json.dumps(make(Path(sys.argv[2]))))
