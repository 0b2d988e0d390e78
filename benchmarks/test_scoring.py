"""Speed of scoring with a scorer of ViT-B/32's shape, random weights, on the CPU: `make bench`.

The reference scores one edit at a time in float32 and encodes both images and both reports of
each.
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from pairaug.clip.encoders import Encoder, open_encoder
from pairaug.clip.similarity import cosine, directional_similarity
from pairaug.hub.inference import has_native_bfloat16
from pairaug.imaging.io import load_image, png_ref
from pairaug.pair import Branch, Pair, Report
from pairaug.score import Score, ScoreSettings
from pairaug.stage import RunContext

WORDS = [
    "no",
    "the",
    "heart",
    "lungs",
    "are",
    "clear",
    "left",
    "right",
    "small",
    "large",
    "effusion",
    "edema",
    "is",
    "of",
    "in",
    "and",
]
SIDE = 512


def write_scorer(folder: Path) -> Path:
    """A folder with a CLIP model of the published widths and depths."""
    torch.manual_seed(0)
    end = 49407
    ids = {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    CLIPModel(CLIPConfig(text_config=ids)).save_pretrained(folder)
    words = {"<end>": end, "<start>": end - 1, "<unk>": 0}
    words |= {word: place for place, word in enumerate(WORDS, 1)}
    plain = Tokenizer(WordLevel(words, "<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    plain.post_processor = TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", end - 1), ("<end>", end)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        bos_token="<start>",
        eos_token="<end>",
        pad_token="<end>",
        unk_token="<unk>",
        model_max_length=77,
    )
    tokenizer.save_pretrained(folder)
    transform = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(transform))
    return folder


def families(num_patients: int, num_images: int, seed: int) -> list[list[Pair]]:
    """Patients with a number of candidates of one edit each, images of the usual size."""
    rng = np.random.default_rng(seed)

    def generated() -> tuple[Report, np.ndarray]:
        text = " ".join(rng.choice(WORDS, 45))
        return Report(text), rng.random((SIDE, SIDE)).astype(np.float32)

    made = []
    for patient in range(num_patients):
        report, image = generated()
        real = Pair(f"{seed}/{patient}", Branch.REAL, f"p{patient}", report, image=png_ref(image))
        changed, _ = generated()
        edits = [
            real.child(f"intra-{n}", branch=Branch.INTRA, report=changed).with_image(
                png_ref(generated()[1])
            )
            for n in range(num_images)
        ]
        made.append([real, *edits])
    return made


def one_at_a_time(encoder: Encoder, groups: list[list[Pair]]) -> int:
    """Both images and both reports of each edit decoded and encoded; how many edits there were."""
    done = 0
    for real, *edits in groups:
        for edit in edits:
            assert real.image
            assert edit.image
            source, edited = (
                encoder.encode_images([load_image(image)])[0] for image in (real.image, edit.image)
            )
            before, after = (encoder.encode_reports([pair.report.text])[0] for pair in (real, edit))
            assert cosine(edited, after) is not None
            assert cosine(edited, source) is not None
            directional_similarity(edited, source, after, before)
            done += 1
    return done


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scorer(tmp_path_factory.mktemp("models") / "vit-b-32")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("num_images", [1, 10])
def test_score_as_a_stage(
    benchmark: BenchmarkFixture,
    scorer: Path,
    num_images: int,
    dtype: Literal["float32", "bfloat16"],
):
    if dtype == "bfloat16" and not has_native_bfloat16():
        pytest.skip("this CPU has no bfloat16 instructions")
    stage = Score(ScoreSettings(model=str(scorer), dtype=dtype), RunContext(seed=0))
    seeds = count()
    num_patients = 30 // num_images
    list(stage(families(1, 1, 10**6)[0]))  # opens the model

    def fresh() -> tuple[tuple[list[Pair]], dict]:
        groups = families(num_patients, num_images, next(seeds))
        return ([pair for group in groups for pair in group],), {}

    benchmark.pedantic(lambda pairs: list(stage(pairs)), setup=fresh, rounds=3)


@pytest.mark.parametrize("num_images", [1, 10])
def test_score_one_at_a_time(benchmark: BenchmarkFixture, scorer: Path, num_images: int):
    encoder = open_encoder(scorer, batch_size=1)
    groups = families(30 // num_images, num_images, 0)
    one_at_a_time(encoder, groups[:1])
    benchmark.pedantic(lambda: one_at_a_time(encoder, groups), rounds=1)
