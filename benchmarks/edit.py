"""What an edit costs, against prompt-to-prompt with its maps in the open, side by side.

    python benchmarks/edit.py --width 0.5 --repeats 3 --out edit.json

Weights are random, in the shapes of Stable Diffusion 1.5; times and memory do not depend on them.
Every measurement is a process of its own, and the methods take turns, so that what else the machine
does meets all of them alike. Steps are few, in the paper's proportions: the first half with
cross-attention swapped, the first fifth with self-attention.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from live_tensors import LiveTensors

from pairaug.bundled import folder
from pairaug.diffusion.edit_plan import EditOptions
from pairaug.diffusion.editing import edit_inverted, edit_regenerated
from pairaug.diffusion.inversion import invert_images
from pairaug.diffusion.pipeline import Pipeline
from pairaug.diffusion.sampling import SamplingOptions, sample_latents
from pairaug.diffusion.text import TextEncoders, TextTower
from pairaug.hub.inference import dtype_of, for_inference
from pairaug.system.memory import keep_freed_memory
from support.explicit_maps import Controller, explicit_edit, refine_mapper

SOURCE = "The heart size is normal. There is a large right pleural effusion. No pneumothorax."
EDITED = "The heart size is normal. There is no pleural effusion. Mild edema of both lungs."

NAMES = (
    "explicit maps",
    "plain, 2 rows",
    "plain, 4 rows",
    "regenerated",
    "inversion",
    "inverted",
    "inverted, no drift correction",
    "a third of the steps, batched",
)

Measurement = dict[str, float]


def random_pipeline(width: float, latents: int, device: str, dtype: str) -> Pipeline:
    """Stable Diffusion 1.5's denoiser at `width` of its channels, `latents` x `latents` positions.

    The text encoder and the VAE are small: what they cost is no part of the comparison.
    """
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(folder("generator") / "tokenizer")
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=768,
            intermediate_size=768,
            num_hidden_layers=1,
            num_attention_heads=12,
            max_position_embeddings=77,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    channels = tuple(round(width * each) for each in (320, 640, 1280, 1280))
    denoiser = UNet2DConditionModel(
        sample_size=latents,
        block_out_channels=channels,
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
    )
    torch_dtype = dtype_of(dtype)
    scheduler = {
        "_class_name": "PNDMScheduler",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
    }
    tower = TextTower(for_inference(text.to(torch_dtype), device), tokenizer.pad_token_id)
    return Pipeline(
        for_inference(vae.to(torch_dtype), device),
        for_inference(denoiser.to(torch_dtype), device),
        TextEncoders(tokenizer, (tower,)),
        scheduler,
        "random",
        torch.device(device),
        torch_dtype,
    )


def methods(
    pipeline: Pipeline, steps: int, batch: int
) -> dict[str, tuple[int, Callable[[], object]]]:
    """Name → how many edits or images one call makes, and the call."""
    options = EditOptions(num_inference_steps=steps, scheduler="ddim")
    size = pipeline.image_size
    image = np.random.default_rng(0).random((1, size, size), dtype=np.float32)
    few = max(1, steps // 3)

    def explicit() -> object:
        ids = [pipeline.token_ids(text) for text in (SOURCE, EDITED)]
        mapper, alphas = refine_mapper(*ids, pipeline.window)
        controller = Controller(
            len(pipeline.denoiser.attn_processors),
            mapper.to(pipeline.device),
            alphas.to(pipeline.device),
            min(steps, int(options.cross_replace_steps * (steps + 1))),
            int(options.self_replace_steps * steps),
            options.self_max_positions,
        )
        noise = torch.randn(pipeline.latent_shape(), generator=torch.Generator().manual_seed(0))
        noise = noise.to(pipeline.device)
        return explicit_edit(pipeline, SOURCE, EDITED, controller, steps, 4.0, noise=noise)

    def plain(num_images: int) -> object:
        sampling = SamplingOptions(steps, 4.0, "ddim")
        return sample_latents(
            pipeline, [EDITED] * num_images, range(num_images), sampling, num_images
        )

    def regenerated() -> object:
        return edit_regenerated(pipeline, [SOURCE], [EDITED], [0], options)

    def inversion() -> object:
        return invert_images(pipeline, image, [SOURCE], steps)

    def inverted(correct_drift: bool) -> object:
        own = EditOptions(num_inference_steps=steps, correct_drift=correct_drift)
        return edit_inverted(pipeline, recorded(), [EDITED], own, [0])

    kept: list[Any] = []

    def recorded() -> Any:
        if not kept:
            kept.append(inversion())
        return kept[0]

    def default() -> object:
        own = EditOptions(num_inference_steps=few, scheduler="dpm++2m")
        texts = [SOURCE] * batch, [EDITED] * batch
        return edit_regenerated(pipeline, *texts, range(batch), own, batch)

    return {
        "explicit maps": (1, explicit),
        "plain, 2 rows": (1, lambda: plain(1)),
        "plain, 4 rows": (2, lambda: plain(2)),
        "regenerated": (1, regenerated),
        "inversion": (1, inversion),
        "inverted": (1, lambda: inverted(correct_drift=True)),
        "inverted, no drift correction": (1, lambda: inverted(correct_drift=False)),
        "a third of the steps, batched": (batch, default),
    }


def measure(name: str, options: argparse.Namespace) -> Measurement:
    """Seconds per edit or image of one warm call, and its memory beyond the model's."""
    keep_freed_memory()  # as the command does
    if options.threads:
        torch.set_num_threads(options.threads)
    pipeline = random_pipeline(options.width, options.latents, options.device, options.dtype)
    num_images, call = methods(pipeline, options.steps, options.batch)[name]
    few = methods(pipeline, 2, options.batch)
    with torch.inference_mode():
        before = _memory(options.device)
        if name.startswith("inverted"):
            # Inverts the image, which serves all of its edits and has a row of its own.
            call()
        else:
            methods(pipeline, 1, options.batch)[name][1]()
        if options.device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        call()
        if options.device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        resident = _peak(options.device) - before
        tensors = resident if options.device == "cuda" else _live(lambda: few[name][1]())
    return {"seconds": seconds / num_images, "tensors": tensors, "resident": resident}


def _live(call: Callable[[], object]) -> float:
    with LiveTensors() as counted:
        call()
    return counted.peak / 1e6


def _memory(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 1e6
    # Linux: resets the peak of what is resident, so that loading does not count.
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return _resident("VmRSS")


def _peak(device: str) -> float:
    return torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else _resident("VmHWM")


def _resident(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def table(found: dict[str, list[Measurement]]) -> str:
    """One row for each method: median, spread, and its ratio to two others, paired by turn."""
    lines = [
        "| method | seconds each | explicit maps / it | it / plain, 2 rows | tensors, MB "
        "| resident, MB |",
        "|---|---|---|---|---|---|",
    ]
    for name, rows in found.items():
        seconds = [row["seconds"] for row in rows]
        faster = _ratios(found["explicit maps"], rows)
        dearer = _ratios(rows, found["plain, 2 rows"])
        tensors, resident = (median(row[kind] for row in rows) for kind in ("tensors", "resident"))
        lines.append(
            f"| {name} | {_spread(seconds)} | {_spread(faster)} | {_spread(dearer)} "
            f"| {tensors:.0f} | {resident:.0f} |"
        )
    return "\n".join(lines)


def _ratios(above: Sequence[Measurement], below: Sequence[Measurement]) -> list[float]:
    return [one["seconds"] / other["seconds"] for one, other in zip(above, below, strict=True)]


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=float, default=0.5, help="fraction of SD 1.5's channels")
    parser.add_argument("--latents", type=int, default=64, help="latent positions along a side")
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--batch", type=int, default=4, help="edits at once in the last row")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch decides")
    parser.add_argument("--out", type=Path, help="also write everything measured here, as JSON")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        sys.stdout.write(json.dumps(measure(options.only, options)) + "\n")
        return
    found: dict[str, list[Measurement]] = {name: [] for name in NAMES}
    for _ in range(options.repeats):
        for name in NAMES:
            command = [sys.executable, *sys.argv, "--only", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{name}: {done.stderr.strip().splitlines()[-1]}")
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            sys.stderr.write(f"{name}: {found[name][-1]['seconds']:.2f} s\n")
    sys.stdout.write(table(found) + "\n")
    if options.out:
        options.out.write_text(json.dumps({**vars(options), "out": None, "found": found}, indent=1))


if __name__ == "__main__":
    main()
