"""Each family of models, from the upstream's folder layout, against diffusers' own pipelines."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline

from pairaug.diffusion.checks import check_parts
from pairaug.diffusion.folder import model_folder, weights_sha256
from pairaug.diffusion.pipeline import Pipeline, load_pipeline
from pairaug.diffusion.sampling import SamplingOptions, denoise, generate_images
from pairaug.diffusion.schedule import ddim_solver, make_solver
from pairaug.errors import ModelError
from pairaug.train.denoiser import save_generator
from support.tiny_pipelines import WINDOW, write_pipeline

PROMPTS = [
    "normal heart size",
    "there is a large right pleural effusion. no pneumothorax",
    "no edema",
]


@dataclass(frozen=True)
class Family:
    """A model on disk, as we load it and as diffusers does."""

    folder: Path
    pipeline: Pipeline
    upstream: Any

    @property
    def num_inference_steps(self) -> int:
        # Where timesteps are trailing, diffusers' DDIM goes on from 666 to 333, and then takes that
        # level's prediction at 332, unless the steps divide 1000.
        return 4 if self.pipeline.scheduler_config.get("timestep_spacing") == "trailing" else 3


def loaded(folder: Path) -> Family:
    upstream = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    upstream.set_progress_bar_config(disable=True)
    return Family(folder, load_pipeline(model_folder(str(folder))), upstream)


@pytest.fixture(
    scope="module",
    params=["sd1", "sd2", "sdxl", "sdxl-whose-empty-text-is-encoded", "sdxl-as-saved", "bundled"],
)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    name, folder = request.param, tmp_path_factory.mktemp("family") / request.param
    if name == "bundled":
        parts = loaded(write_pipeline(folder.with_name("parts"), "sd1", is_upstream=False)).upstream
        for name in ("vocab.json", "merges.txt"):
            written = folder.with_name("parts-tokenizers") / "tokenizer" / name
            shutil.copyfile(written, folder.with_name("parts") / "tokenizer" / name)
        # As the bundled generator was written: by `pairaug train generator`.
        save_generator(folder, parts.vae, parts.unet, parts.text_encoder, parts.tokenizer)
    else:
        write_pipeline(
            folder,
            name.partition("-")[0],
            is_upstream=not name.endswith("as-saved"),
            zeroes_empty=not name.endswith("encoded"),
        )
    return loaded(folder)


@pytest.fixture
def sdxl_folder(sdxl_bundle_folder: Path, tmp_path: Path) -> Path:
    """A copy, to be spoilt."""
    return Path(shutil.copytree(sdxl_bundle_folder, tmp_path / "sdxl"))


def test_texts_are_encoded_as_the_pipeline_encodes_them(family: Family) -> None:
    ours = family.pipeline.encode_prompts([*PROMPTS, *([""] * 3)])
    with torch.no_grad():
        theirs = family.upstream.encode_prompt(
            PROMPTS,
            device=torch.device("cpu"),
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
        )
    assert_close(ours.tokens, torch.cat(theirs[:2]), 1e-5)
    assert ours.tokens.shape[1] == WINDOW
    if len(theirs) == 2:
        assert ours.pooled is None
    else:
        assert ours.pooled is not None
        assert_close(ours.pooled, torch.cat(theirs[2:]), 1e-5)
        assert ours.pooled[:3].std() > 0.05


def test_guided_ddim_is_the_pipelines(family: Family) -> None:
    latents = noise(family.pipeline)
    family.upstream.scheduler = DDIMScheduler.from_config(
        family.upstream.scheduler.config, clip_sample=False
    )
    theirs = sampled(family, latents)
    solver = ddim_solver(family.pipeline.scheduler_config, family.num_inference_steps)
    text = family.pipeline.encode_prompts([*PROMPTS, *([""] * 3)])
    assert_close(denoise(family.pipeline, latents, text, solver, 3.0), theirs, 1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_models_own_scheduler_is_the_pipelines(family: Family) -> None:
    pipeline, latents = family.pipeline, noise(family.pipeline)
    kind = getattr(diffusers, pipeline.scheduler_config["_class_name"])
    family.upstream.scheduler = kind.from_pretrained(family.folder / "scheduler")
    theirs = sampled(family, latents)
    solver = make_solver(
        pipeline.scheduler_config, "default", family.num_inference_steps, [torch.Generator()] * 3
    )
    text = pipeline.encode_prompts([*PROMPTS, *([""] * 3)])
    assert_close(denoise(pipeline, latents, text, solver, 3.0), theirs, 1e-4)


def test_images_are_drawn_at_the_models_size(family: Family) -> None:
    images = generate_images(family.pipeline, PROMPTS, [1, 2, 3], SamplingOptions(2, 3.0))
    assert images.shape == (3, 16, 16)
    assert np.isfinite(images).all()
    assert np.abs(images[0] - images[1]).mean() > 1e-3


def test_sdxl_hears_the_whole_text_and_the_images_size(sdxl_bundle: Pipeline) -> None:
    """What is not among the tokens' states: leaving it out, or another size, changes much."""
    text = sdxl_bundle.encode_prompts(PROMPTS)
    latents, timestep = noise(sdxl_bundle), torch.tensor(500)
    assert text.pooled is not None
    added = sdxl_bundle._added(text)
    assert added is not None
    assert added["time_ids"].tolist() == [[16, 16, 0, 0, 16, 16]] * 3
    with torch.inference_mode():
        told = sdxl_bundle.predict(latents, timestep, text)
        other = sdxl_bundle.predict(latents, timestep, text[[1, 2, 0]])
        added["text_embeds"] = added["text_embeds"].roll(1, 0)
        swapped = sdxl_bundle.denoiser(
            latents, timestep, encoder_hidden_states=text.tokens, added_cond_kwargs=added
        ).sample
    assert float((told - other).abs().mean()) > 1e-3
    assert float((told - swapped).abs().mean()) > 1e-4


def test_the_empty_text_is_zeros_where_the_index_says_so(sdxl_folder: Path) -> None:
    before = load_pipeline(sdxl_folder).encode_prompts(["", "no edema"])
    assert not before.tokens[0].any()
    assert before.tokens[1].any()
    hash_before = weights_sha256(sdxl_folder)
    rewrite_json(sdxl_folder / "model_index.json", force_zeros_for_empty_prompt=False)
    after = load_pipeline(sdxl_folder).encode_prompts(["", "no edema"])
    assert after.tokens[0].any()
    assert torch.equal(after.tokens[1], before.tokens[1])
    assert weights_sha256(sdxl_folder) != hash_before


def test_lower_precision_works_with_two_text_encoders(sdxl_folder: Path) -> None:
    pipeline = load_pipeline(sdxl_folder, dtype="bfloat16")
    text = pipeline.encode_prompts(["no edema"])
    assert text.pooled is not None
    assert {text.tokens.dtype, text.pooled.dtype} == {torch.bfloat16}
    with torch.inference_mode():
        prediction = pipeline.predict(noise(pipeline)[:1], torch.tensor(10), text)
    assert prediction.dtype == torch.float32
    assert torch.isfinite(prediction).all()


def test_nothing_but_the_models_parts_is_read(sdxl_folder: Path) -> None:
    before = load_pipeline(sdxl_folder)
    for part in ("safety_checker", "feature_extractor", "image_encoder", "refiner"):
        (sdxl_folder / part).mkdir()
        (sdxl_folder / part / "config.json").write_text("no JSON")
        (sdxl_folder / part / "model.safetensors").write_bytes(b"no tensors")
    after = load_pipeline(model_folder(str(sdxl_folder)))
    assert after.sha256 == before.sha256


def test_the_hash_covers_the_second_text_encoder(sdxl_folder: Path) -> None:
    hashes = {weights_sha256(sdxl_folder)}
    for path in ("text_encoder_2/model.safetensors", "tokenizer_2/special_tokens_map.json"):
        content = bytearray((sdxl_folder / path).read_bytes())
        content[-1] ^= 1
        (sdxl_folder / path).write_bytes(bytes(content))
        hashes.add(weights_sha256(sdxl_folder))
    assert len(hashes) == 3


def test_tokenizers_that_cut_words_differently_are_refused(sdxl_folder: Path) -> None:
    merges = sdxl_folder / "tokenizer_2" / "merges.txt"
    lines = merges.read_text().splitlines()
    # In another order: "no" is cut as before, longer words are not.
    merges.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    with pytest.raises(ModelError, match="cut the same words into different tokens"):
        load_pipeline(sdxl_folder)
    vocabulary = sdxl_folder / "tokenizer_2" / "vocab.json"
    pieces = json.loads(vocabulary.read_text())
    pieces["a"], pieces["b"] = pieces["b"], pieces["a"]
    vocabulary.write_text(json.dumps(pieces))
    with pytest.raises(ModelError, match="have different vocabularies"):
        load_pipeline(sdxl_folder)


def test_a_mark_that_one_tokenizer_pads_with_is_a_word_to_both_encoders(
    sdxl_bundle: Pipeline,
) -> None:
    """Both encoders see the first tokenizer's tokens, so that windows and alignment hold."""
    assert sdxl_bundle.text_encoders.towers[1].pad_id == 0
    folder_tokens = sdxl_bundle.token_ids("no edema!")
    assert len(folder_tokens) == 5
    assert 0 not in folder_tokens


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("unet", {"addition_embed_type": "text"}, "addition_embed_type is text"),
        ("unet", {"time_cond_proj_dim": 8}, "time_cond_proj_dim is 8"),
        ("vae", {"latents_mean": [0.0] * 4}, "a mean and deviation for each channel"),
    ],
)
def test_denoisers_that_want_to_be_told_more_are_refused(
    sdxl_folder: Path, part: str, change: dict, message: str
) -> None:
    configs = {
        name: json.loads((sdxl_folder / name / "config.json").read_text())
        for name in ("unet", "vae")
    }
    check_parts(configs["unet"], configs["vae"], 40, 12, sdxl_folder)
    configs[part].update(change)
    with pytest.raises(ModelError, match=message):
        check_parts(configs["unet"], configs["vae"], 40, 12, sdxl_folder)


def test_five_time_ids_are_a_refiners(sdxl_folder: Path) -> None:
    unet, vae = (
        json.loads((sdxl_folder / name / "config.json").read_text()) for name in ("unet", "vae")
    )
    unet["projection_class_embeddings_input_dim"] = 12 + 5 * 8
    with pytest.raises(ModelError, match="make 60 features, the denoiser wants 52; refiners"):
        check_parts(unet, vae, 40, 12, sdxl_folder)


def test_one_text_encoder_of_the_two_is_refused(sdxl_folder: Path) -> None:
    rewrite_json(sdxl_folder / "model_index.json", text_encoder_2=[None, None])
    with pytest.raises(ModelError, match="text encoder's width is 16, the denoiser wants 40"):
        load_pipeline(sdxl_folder)


def test_a_text_too_long_for_the_tokenizer_is_no_warning(
    sdxl_bundle: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    sdxl_bundle.encode_prompts([" ".join(["heart"] * 40)])
    assert not caplog.records


def noise(pipeline: Pipeline) -> torch.Tensor:
    return torch.randn(3, *pipeline.latent_shape(), generator=torch.Generator().manual_seed(1))


def sampled(family: Family, latents: torch.Tensor) -> torch.Tensor:
    return family.upstream(
        PROMPTS,
        latents=latents.clone(),
        num_inference_steps=family.num_inference_steps,
        guidance_scale=3.0,
        output_type="latent",
    ).images


def assert_close(actual: torch.Tensor, expected: torch.Tensor, limit: float) -> None:
    assert actual.shape == expected.shape
    assert torch.isfinite(actual).all()
    assert float((actual - expected).abs().max()) <= limit


def rewrite_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
