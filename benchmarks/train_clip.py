"""Pairs per second of `train clip` and of a plain loop, ViT-B/32 at 224 pixels, side by side.

    python benchmarks/train_clip.py [--batch 32] [--steps 3] [--rounds 3] [--image 1024]

The plain loop is what one writes first: transformers' CLIPModel in float32, a DataLoader with one
worker that opens, resizes and tokenises each pair at each use, reports filled up to the window,
PyTorch's AdamW as it comes. Weights are random, images are phantoms. Rounds alternate, so that a
busy machine slows all alike; seconds of CPU time are given beside those of the clock.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPModel

from pairaug.hub.inference import has_native_bfloat16
from pairaug.phantom.dataset import DatasetSize, write_dataset
from pairaug.train.clip import ClipSettings
from pairaug.train.clip.model import make_clip
from pairaug.train.clip.program import Training
from pairaug.train.processes import Processes

CPU = torch.device("cpu")


class PerItem(Dataset):
    """A pair at each use from its file: decoded, resized, normalised; its report tokenised."""

    def __init__(self, rows: list[tuple[Path, str]], tokenizer: object) -> None:
        self.rows, self.tokenizer = rows, tokenizer

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        path, text = self.rows[index]
        image = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255.0).permute(2, 0, 1)
        ids = self.tokenizer(  # type: ignore[operator]
            text, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
        )["input_ids"][0]
        return (pixels - 0.398) / 0.327, ids


def plain_steps(model: CLIPModel, rows: list[tuple[Path, str]], tokenizer: object, batch: int):
    """A step at each call."""
    loader = DataLoader(
        PerItem(rows, tokenizer), batch, shuffle=True, num_workers=1, drop_last=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    model.train()

    def batches():
        while True:
            yield from loader

    source = batches()

    def step() -> None:
        pixels, ids = next(source)
        loss = model(input_ids=ids, pixel_values=pixels, return_loss=True).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def our_steps(settings: ClipSettings, out: Path, closing: ExitStack) -> Callable[[], None]:
    """A step at each call."""
    loop = Training(settings, out, Processes()).loop(closing)

    def step() -> None:
        loop._one_step(0.0)
        loop.step += 1

    return step


def measured(step: Callable[[], None], num_steps: int) -> tuple[float, float]:
    """(seconds by the clock, seconds of CPU time of this process and its children) of steps."""
    clock, times = time.perf_counter(), os.times()
    for _ in range(num_steps):
        step()
    after = os.times()
    used = sum(after[:4]) - sum(times[:4])
    return time.perf_counter() - clock, used


def medians(took: list[tuple[float, float]]) -> tuple[float, float]:
    """Of the clock's seconds and of CPU seconds."""
    return statistics.median(each[0] for each in took), statistics.median(each[1] for each in took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--image", type=int, default=1024, help="pixels a side of the files")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as closing:
        data = Path(folder) / "data"
        table = write_dataset(data, DatasetSize(2 * chosen.batch, seed=3, size=chosen.image))
        base = {
            "preset": "chexzero",
            "optimizer": "adamw",
            "batch_size": chosen.batch,
            "max_steps": 10_000,
            "tokenizer": "bundled",
            "max_validation_pairs": 0,
            "device": "cpu",
            "cache": Path(folder) / "cache",
            "sources": [
                {"read": {"layout": "table", "table": table, "split": {
                    "validation_fraction": 0.0, "test_fraction": 0.0}}}
            ],
        }  # fmt: skip
        first = Training(ClipSettings.model_validate(base), Path(folder) / "first", Processes())
        reports = dict(enumerate(first.pairs.reports))
        paths = sorted((data / "images").iterdir())
        rows = [(path, reports[place % len(reports)][0]) for place, path in enumerate(paths)]
        model = make_clip(first.settings, 224, first.tokenizer)
        steps = {"plain loop, float32": plain_steps(model, rows, first.tokenizer, chosen.batch)}
        for precision in ("float32", "bfloat16"):
            settings = ClipSettings.model_validate({**base, "precision": precision})
            name = f"train clip, {precision}"
            steps[name] = our_steps(settings, Path(folder) / precision, closing)
        del first
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
        for step in steps.values():
            step()
        for _ in range(chosen.rounds):
            for name, step in steps.items():
                took[name].append(measured(step, chosen.steps))
                print(name, took[name][-1], flush=True)  # noqa: T201
    pairs = chosen.batch * chosen.steps
    plain_clock, plain_cpu = (
        statistics.median(each) for each in zip(*next(iter(took.values())), strict=True)
    )
    print(f"native bfloat16: {has_native_bfloat16(CPU)}, {chosen.threads} threads")  # noqa: T201
    for name, each in took.items():
        clock, cpu = medians(each)
        spread = " ".join(f"{pairs / seconds:.2f}" for seconds, _ in each)
        print(  # noqa: T201
            f"{name}: {pairs / clock:.2f} pairs/s ({spread}), {plain_clock / clock:.2f} x; "
            f"{cpu / pairs:.3f} CPU s a pair, {plain_cpu / cpu:.2f} x"
        )


if __name__ == "__main__":
    main()
