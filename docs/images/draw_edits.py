"""Makes the figure of `how-to/edit.md`: three simulated patients, each edited by several methods.

    python docs/images/draw_edits.py docs/images/edits.jpg

The patients are those of `pairaug evaluate counterfactual`, so the true counterfactual is known.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pairaug.bundled import folder
from pairaug.diffusion.edit_plan import EditOptions
from pairaug.diffusion.editing import edit_inverted, edit_regenerated
from pairaug.diffusion.inversion import invert_images
from pairaug.diffusion.pipeline import load_pipeline
from pairaug.evaluate.counterfactual import CounterfactualSettings, rules_rewriter, sample_edits

NUM_STEPS, SCALE, MARGIN, HEAD = 20, 2, 14, 46
PATIENTS = (3, 8, 13)
METHODS = {
    "inverted\nrefine": EditOptions(NUM_STEPS),
    "inverted\nreplace": EditOptions(NUM_STEPS, alignment="replace"),
    "inverted, refine\nlocal blend": EditOptions(NUM_STEPS, local_blend="difference"),
    "regenerated\nrefine (paper)": EditOptions(NUM_STEPS),
}


def main() -> None:
    """Writes the figure to the path of the first argument."""
    pipeline = load_pipeline(folder("generator"))
    settings = CounterfactualSettings()
    edits, _ = sample_edits(
        settings.seed, max(PATIENTS) + 1, pipeline.image_size, rules_rewriter(settings.seed)
    )
    chosen = [edits[patient] for patient in PATIENTS]
    source = np.stack([edit.source for edit in chosen])
    prompts = [pipeline.fit_prompts(edit.before, edit.after) for edit in chosen]
    before, after = [one.text for one, _ in prompts], [other.text for _, other in prompts]
    inversion = invert_images(pipeline, source, before, NUM_STEPS)
    columns = [("source", source, None)]
    for name, options in METHODS.items():
        if name.startswith("inverted"):
            made = edit_inverted(pipeline, inversion, after, options, range(len(chosen)))
        else:
            made = edit_regenerated(pipeline, before, after, PATIENTS, options)
        columns.append((name, made.images, made.region if options.blends else None))
    columns.append(("true\ncounterfactual", np.stack([edit.truth for edit in chosen]), None))
    captions = [changed_words(edit.before, edit.after) for edit in chosen]
    # At the size at which it is shown, well below the limit on files in the project.
    sheet = figure(columns, captions, source)
    shown = sheet.resize((sheet.width * 2 // 3, sheet.height * 2 // 3), Image.Resampling.LANCZOS)
    shown.save(sys.argv[1], quality=90, subsampling=0, optimize=True)


def changed_words(before: str, after: str) -> str:
    """Sentences removed and added by the change."""
    old, new = (
        [part.strip() for part in text.split(".") if part.strip()] for text in (before, after)
    )
    gone = "; ".join(part for part in old if part not in new)
    come = "; ".join(part for part in new if part not in old)
    return f"- {gone or '(nothing)'}   + {come or '(nothing)'}"


def figure(columns: list, captions: list[str], source: np.ndarray) -> Image.Image:
    """Two rows per patient: the images, and below each edit its difference from the source."""
    side = source.shape[-1] * SCALE
    cell, row = side + MARGIN, 2 * side + MARGIN + 30
    sheet = Image.new(
        "RGB", (MARGIN + cell * len(columns), HEAD + row * len(captions) + MARGIN), "white"
    )
    pen = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(18), ImageFont.load_default(15)
    for place, (name, images, region) in enumerate(columns):
        left = MARGIN + place * cell
        pen.multiline_text((left, 2), name, fill="black", font=large)
        for patient, image in enumerate(images):
            top = HEAD + patient * row
            if place == 0:
                pen.text((left, top), captions[patient][:230], fill="#555", font=small)
            sheet.paste(grey(image, side), (left, top + 24))
            if place:
                below = outlined(difference(image - source[patient], side), region, patient)
                sheet.paste(below, (left, top + 28 + side))
    return sheet


def grey(image: np.ndarray, side: int) -> Image.Image:
    levels = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(levels).resize((side, side), Image.Resampling.LANCZOS).convert("RGB")


def difference(change: np.ndarray, side: int) -> Image.Image:
    """Brighter than the source in red, darker in blue."""
    strength = np.clip(np.abs(change) * 2.5, 0, 1)
    levels = np.full((*change.shape, 3), 255.0)
    levels -= 205.0 * strength[..., None] * np.where(change[..., None] > 0, (0, 1, 1), (1, 1, 0))
    image = Image.fromarray(levels.astype(np.uint8))
    return image.resize((side, side), Image.Resampling.BICUBIC)


def outlined(image: Image.Image, region: np.ndarray | None, patient: int) -> Image.Image:
    """`image` with the border of the blended region."""
    if region is None:
        return image
    mask = Image.fromarray((region[patient] * 255).astype(np.uint8))
    inside = np.asarray(mask.resize(image.size, Image.Resampling.BICUBIC)) > 127
    edge = inside ^ (
        inside & np.roll(inside, 2, 0) & np.roll(inside, -2, 0) & np.roll(inside, 2, 1)
    )
    pixels = np.array(image)
    pixels[edge] = (255, 140, 0)
    return Image.fromarray(pixels)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).parent.is_dir():
        sys.exit(__doc__)
    main()
