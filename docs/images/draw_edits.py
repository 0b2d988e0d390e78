"""Generates the figure of `how-to/edit.md`: one simulated patient, edited in each way.

    python docs/images/draw_edits.py docs/images/edits.jpg

The patients are those of `pairaug evaluate counterfactual`, so the right answer is known.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pairaug.bundled import folder
from pairaug.diffusion.bundle import load_bundle
from pairaug.diffusion.control import EditOptions
from pairaug.diffusion.editing import edit_inverted, edit_regenerated
from pairaug.diffusion.inversion import invert_images
from pairaug.evaluate.counterfactual import CounterfactualSettings, draw_edits, rules_rewriter

NUM_STEPS, SCALE, MARGIN, HEAD = 20, 2, 14, 46
PATIENTS = (3, 8, 13)
WAYS = {
    "inverted\nrefine": EditOptions(NUM_STEPS),
    "inverted\nsubstitute": EditOptions(NUM_STEPS, alignment="substitute"),
    "inverted, blend\nby attention": EditOptions(
        NUM_STEPS, alignment="blend", blend_by="attention"
    ),
    "inverted, blend\nby difference": EditOptions(NUM_STEPS, alignment="blend"),
    "generated from the report\nrefine (paper)": EditOptions(NUM_STEPS),
}


def main() -> None:
    """Writes the figure to the path of the first argument."""
    bundle = load_bundle(folder("generator"))
    settings = CounterfactualSettings()
    edits, _ = draw_edits(
        settings.seed, max(PATIENTS) + 1, bundle.image_size, rules_rewriter(settings.seed)
    )
    chosen = [edits[patient] for patient in PATIENTS]
    source = np.stack([edit.source for edit in chosen])
    prompts = [bundle.fit_prompts(edit.before, edit.after) for edit in chosen]
    before, after = [one.text for one, _ in prompts], [other.text for _, other in prompts]
    inversion = invert_images(bundle, source, before, NUM_STEPS)
    columns = [("the patient's image", source, None)]
    attention = None
    for name, options in WAYS.items():
        if name.startswith("inverted"):
            made = edit_inverted(bundle, inversion, after, options, range(len(chosen)))
        else:
            made = edit_regenerated(bundle, before, after, PATIENTS, options)
        is_held = options.alignment == "blend"
        columns.append((name, made.images, made.region if is_held else None))
        if options.blend_by == "attention":
            attention = made.relevance
    assert attention is not None
    columns.append(("the right answer", np.stack([edit.truth for edit in chosen]), None))
    captions = [changed_words(edit.before, edit.after) for edit in chosen]
    # No larger than it is shown: well below the limit on files in the project.
    generated = figure(columns, captions, source, attention)
    shown = generated.resize(
        (generated.width * 2 // 3, generated.height * 2 // 3), Image.Resampling.LANCZOS
    )
    shown.save(sys.argv[1], quality=90, subsampling=0, optimize=True)


def changed_words(before: str, after: str) -> str:
    """The sentences that only one of the reports has."""
    old, new = (
        [part.strip() for part in text.split(".") if part.strip()] for text in (before, after)
    )
    gone = "; ".join(part for part in old if part not in new)
    come = "; ".join(part for part in new if part not in old)
    return f"- {gone or '(nothing)'}   + {come or '(nothing)'}"


def figure(
    columns: list, captions: list[str], source: np.ndarray, attention: np.ndarray
) -> Image.Image:
    """Two rows a patient: the images, and below them what differs from the patient's image.

    Below the patient's own image is where the model attends to the words that changed.
    """
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
            else:
                below = heat(image, attention[patient], side)
            sheet.paste(below, (left, top + 28 + side))
    return sheet


def grey(image: np.ndarray, side: int) -> Image.Image:
    levels = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(levels).resize((side, side), Image.Resampling.LANCZOS).convert("RGB")


def heat(image: np.ndarray, attention: np.ndarray, side: int) -> Image.Image:
    """The image, dim, with the attention to the changed words laid over it in yellow.

    From none at its least to full at its most; it is spread wide, so the least is not nothing.
    """
    stretched = (attention - attention.min()) / max(float(np.ptp(attention)), 1e-9)
    strength = Image.fromarray(stretched.astype(np.float32)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    share = np.clip(np.asarray(strength), 0, 1)[..., None]
    dim = 0.6 * np.asarray(grey(image, side), dtype=np.float32)
    return Image.fromarray((dim * (1 - share) + np.array((255, 214, 10)) * share).astype(np.uint8))


def difference(change: np.ndarray, side: int) -> Image.Image:
    """Brighter than the patient's image in red, darker in blue."""
    strength = np.clip(np.abs(change) * 2.5, 0, 1)
    levels = np.full((*change.shape, 3), 255.0)
    levels -= 205.0 * strength[..., None] * np.where(change[..., None] > 0, (0, 1, 1), (1, 1, 0))
    image = Image.fromarray(levels.astype(np.uint8))
    return image.resize((side, side), Image.Resampling.BICUBIC)


def outlined(image: Image.Image, region: np.ndarray | None, patient: int) -> Image.Image:
    """`image` with the edge of the region that could change."""
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
