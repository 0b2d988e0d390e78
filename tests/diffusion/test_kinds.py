"""Generators that are not what they seem, each refused in words; schedulers as in pipelines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import diffusers
import pytest
import torch
from diffusers import DiffusionPipeline

from pairaug.diffusion.checks import check_generator
from pairaug.diffusion.folder import model_folder
from pairaug.diffusion.pipeline import load_pipeline
from pairaug.diffusion.sampling import denoise
from pairaug.diffusion.schedule import make_solver
from pairaug.errors import ModelError, SettingsError
from support.tiny_pipelines import write_pipeline

# diffusers warns of what its pipelines set right.
pytestmark = pytest.mark.filterwarnings("ignore:The configuration file of:FutureWarning")
PROMPTS = ["normal heart size", "small left pleural effusion"]


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pipeline(tmp_path_factory.mktemp("sd") / "sd1", "sd1")


@pytest.fixture
def copied(sd: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sd, tmp_path / "model"))


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def with_scheduler(folder: Path, name: str, **changes: object) -> Path:
    kind = getattr(diffusers, name)
    own = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    kind.from_config({**own, **changes}).save_pretrained(folder / "scheduler")
    rewrite(folder / "model_index.json", scheduler=["diffusers", name])
    return folder


@pytest.mark.parametrize(
    "name",
    ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler"],
)
def test_schedules_without_betas_are_refused(copied: Path, name: str) -> None:
    with_scheduler(copied, name)
    for call in (load_pipeline, check_generator):
        with pytest.raises(ModelError, match=f"scheduler is a {name}, whose noise levels"):
            call(copied)


@pytest.mark.parametrize("name", ["LCMScheduler", "TCDScheduler"])
def test_distilled_schedules_say_how_many_steps_they_take(copied: Path, name: str) -> None:
    pipeline = load_pipeline(with_scheduler(copied, name))
    with pytest.raises(SettingsError, match="between 1 and 50 for this model, got 60"):
        make_solver(pipeline.scheduler_config, "default", 60, [])


@pytest.mark.parametrize("name", ["TCDScheduler", "LCMScheduler", "DDIMScheduler", "PNDMScheduler"])
def test_latents_are_the_pipelines(copied: Path, name: str) -> None:
    """Also where the configuration has an offset of 0, which the upstream sets to 1."""
    with_scheduler(copied, name, steps_offset=0, clip_sample=False)
    pipeline = load_pipeline(copied)
    upstream = DiffusionPipeline.from_pretrained(copied, local_files_only=True)
    upstream.set_progress_bar_config(disable=True)
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))

    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in (1, 2)]

    expected = upstream(
        PROMPTS,
        latents=noise.clone(),
        num_inference_steps=4,
        guidance_scale=3.0,
        generator=generators(),
        output_type="latent",
    ).images
    solver = make_solver(pipeline.scheduler_config, "default", 4, generators())
    text = pipeline.encode_prompts([*PROMPTS, "", ""])
    assert torch.allclose(denoise(pipeline, noise, text, solver, 3.0), expected, atol=1e-4)


def test_a_scheduler_that_the_index_calls_otherwise_is_refused(copied: Path) -> None:
    rewrite(copied / "model_index.json", scheduler=["diffusers", "LCMScheduler"])
    with pytest.raises(ModelError, match=r"is a LCMScheduler, scheduler_config\.json that it is"):
        load_pipeline(copied)


def test_old_configurations_have_the_pipelines_size(copied: Path) -> None:
    assert load_pipeline(copied).image_size == 16
    rewrite(copied / "unet" / "config.json", _diffusers_version="0.8.1")
    upstream = DiffusionPipeline.from_pretrained(copied, local_files_only=True)
    assert load_pipeline(copied).latent_shape() == (4, 64, 64)
    assert upstream.unet.config.sample_size == 64


@pytest.mark.parametrize(
    ("taken", "message"),
    [(9, "masked image"), (8, "as InstructPix2Pix is"), (5, "a map of depth"), (7, "enlarges")],
)
def test_denoisers_with_more_channels_are_refused(copied: Path, taken: int, message: str) -> None:
    rewrite(copied / "unet" / "config.json", in_channels=taken)
    with pytest.raises(ModelError, match=message):
        check_generator(copied)


def test_pipelines_and_parts_that_steer_are_refused(copied: Path, tmp_path: Path) -> None:
    index = copied / "model_index.json"
    rewrite(
        index,
        _class_name="StableDiffusionControlNetPipeline",
        controlnet=["diffusers", "ControlNetModel"],
    )
    with pytest.raises(
        ModelError, match=r"whose controlnet \(ControlNetModel\) tells the denoiser"
    ):
        model_folder(str(copied))
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "config.json").write_text('{"_class_name": "ControlNetModel"}')
    with pytest.raises(ModelError, match="is a ControlNetModel, not a generator: it steers"):
        model_folder(str(alone))
    (alone / "pytorch_lora_weights.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"holds an adapter \(LoRA\), not a whole model: load it"):
        model_folder(str(alone))


def test_half_precision_beside_a_pickle_and_other_variants_load(copied: Path) -> None:
    weights = copied / "unet" / "diffusion_pytorch_model.safetensors"
    for variant in ("fp16", "bf16", "ema", "non_ema"):
        weights = weights.rename(
            weights.with_name(f"diffusion_pytorch_model.{variant}.safetensors")
        )
        (copied / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
        assert load_pipeline(model_folder(str(copied), allow_pickle=True), allow_pickle=True)


@pytest.mark.parametrize(
    "model", ["/models/roentgen", "./roentgen", "a/b/c", "x.safetensors", "~/m"]
)
def test_own_paths_are_never_taken_for_hub_ids(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*args: object, **options: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", asked)
    with pytest.raises(ModelError, match=r"there is no folder .*; the nearest that exists is"):
        model_folder(model)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"attention_type": "gated"}, "attention_type is gated; PairAug tells a denoiser its text"),
        ({"num_class_embeds": 10}, "num_class_embeds is 10; PairAug tells a denoiser its text"),
        ({"class_embed_type": "timestep"}, "class_embed_type is timestep; PairAug tells"),
        ({"time_cond_proj_dim": 8}, "time_cond_proj_dim is 8; PairAug tells"),
    ],
)
def test_whole_denoisers_that_are_told_more_are_refused_before_a_run(
    copied: Path, told: dict, message: str
) -> None:
    config = json.loads((copied / "unet" / "config.json").read_text())
    diffusers.UNet2DConditionModel.from_config({**config, **told}).save_pretrained(copied / "unet")
    for call in (load_pipeline, check_generator):
        with pytest.raises(ModelError, match=message):
            call(copied)


def test_parts_of_different_models_are_refused_before_a_run(copied: Path, tmp_path: Path) -> None:
    other = write_pipeline(tmp_path / "sdxl", "sdxl")
    shutil.rmtree(copied / "unet")
    shutil.copytree(other / "unet", copied / "unet")
    for call in (load_pipeline, check_generator):
        with pytest.raises(ModelError, match="text encoder's width is 16, the denoiser wants 40"):
            call(copied)


@pytest.mark.parametrize(
    ("name", "key", "value", "message"),
    [
        ("unet", "sample_size", None, "sample_size is None; PairAug needs one whole number"),
        ("unet", "sample_size", [8, 12], "the side of square latents"),
        ("unet", "sample_size", 0, "sample_size is 0"),
        ("vae", "scaling_factor", 0, "scaling_factor is 0"),
        ("vae", "scaling_factor", "x", "scaling_factor is x"),
        ("vae", "shift_factor", "x", "shift_factor x"),
        ("scheduler", "beta_start", -1.0, "cannot be made|of 1000 betas between 0 and 1"),
        ("scheduler", "beta_end", 5.0, "not of 1000 betas between 0 and 1"),
        ("scheduler", "beta_schedule", "nice", "noise schedule cannot be made"),
        ("scheduler", "trained_betas", [0.1], "not of 1000 betas"),
        ("scheduler", "trained_betas", "abc", "noise schedule cannot be made"),
        ("scheduler", "timestep_spacing", "x", "noise schedule cannot be made"),
        ("scheduler", "num_train_timesteps", 10**9, "no number of steps from 1 to 100,000"),
        ("scheduler", "num_train_timesteps", True, "no number of steps"),
    ],
)
def test_numbers_that_cannot_be_used_are_one_line(
    copied: Path, name: str, key: str, value: object, message: str
) -> None:
    path = copied / name / ("scheduler_config.json" if name == "scheduler" else "config.json")
    rewrite(path, **{key: value})
    for call in (load_pipeline, check_generator):
        with pytest.raises(ModelError, match=message) as caught:
            call(copied)
        assert "\n" not in str(caught.value)


def test_unknown_keys_of_a_configuration_leave_the_terminal_alone(
    copied: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in ("unet/config.json", "vae/config.json", "scheduler/scheduler_config.json"):
        rewrite(copied / path, trained_by="us")
    check_generator(copied)
    pipeline = load_pipeline(copied)
    for name in ("default", "ddim", "dpm++2m"):
        make_solver(pipeline.scheduler_config, name, 4, [])
    assert capfd.readouterr() == ("", "")


def test_a_folder_too_high_names_the_one_below(copied: Path) -> None:
    with pytest.raises(ModelError, match=f"there is one in {copied}: name that folder"):
        model_folder(str(copied.parent))
