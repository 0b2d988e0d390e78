"""Which folders are generators that can be used, and the hash over one."""

from __future__ import annotations

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest

from pairaug.diffusion.folder import encoders_of, model_folder, weights_sha256
from pairaug.diffusion.pipeline import load_pipeline
from pairaug.errors import ModelError
from pairaug.hub.choice import weight_files


@pytest.fixture
def copied(generator_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(generator_folder, tmp_path / "model"))


@pytest.fixture
def sdxl(sdxl_bundle_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sdxl_bundle_folder, tmp_path / "sdxl"))


class Hub:
    """A hub with one model: what `snapshot_download` fetches of it, by the patterns it is given."""

    def __init__(self, model: Path, cache: Path) -> None:
        self.model, self.cache, self.calls = model, cache, 0

    def snapshot_download(self, name, *, revision, allow_patterns, ignore_patterns):
        assert (name, revision) == ("someone/model", "v1")
        self.calls += 1
        self.cache.mkdir(exist_ok=True)
        for path in sorted(self.model.rglob("*")):
            place = path.relative_to(self.model)
            wanted = any(fnmatch(str(place), pattern) for pattern in allow_patterns)
            unwanted = any(fnmatch(str(place), pattern) for pattern in ignore_patterns or ())
            if path.is_file() and wanted and not unwanted:
                (self.cache / place).parent.mkdir(exist_ok=True)
                shutil.copyfile(path, self.cache / place)
        return str(self.cache)

    def fetched(self) -> set[str]:
        files = (path for path in self.cache.rglob("*") if path.is_file())
        return {str(path.relative_to(self.cache)) for path in files}


@pytest.fixture
def hub(sdxl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(sdxl, tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.snapshot_download)
    return hub


def rewrite_index(folder: Path, class_name: str, **changes: object) -> None:
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "_class_name": class_name, **changes}))


def test_a_local_folder_is_used_as_it_is(generator_folder: Path) -> None:
    assert model_folder(str(generator_folder)) == generator_folder


@pytest.mark.parametrize(
    "class_name",
    ["StableDiffusion3Pipeline", "FluxPipeline", "PixArtSigmaPipeline", "SanaPipeline"],
)
def test_transformer_denoisers_are_refused_by_name(copied: Path, class_name: str) -> None:
    rewrite_index(copied, class_name, transformer=["diffusers", "Transformer2DModel"])
    with pytest.raises(ModelError, match=f"is a {class_name}, whose denoiser is a transformer"):
        model_folder(str(copied))


def test_a_refiner_is_refused_by_name(copied: Path) -> None:
    rewrite_index(copied, "StableDiffusionXLImg2ImgPipeline", requires_aesthetics_score=True)
    with pytest.raises(ModelError, match="Img2ImgPipeline that refines images of another"):
        model_folder(str(copied))


def test_other_kinds_of_text_encoders_are_refused_by_name(copied: Path) -> None:
    rewrite_index(copied, "KolorsPipeline", text_encoder=["kolors", "ChatGLMModel"])
    with pytest.raises(ModelError, match="KolorsPipeline, whose text_encoder is a ChatGLMModel"):
        model_folder(str(copied))


def test_a_second_text_encoder_must_be_there_whole(sdxl: Path) -> None:
    assert model_folder(str(sdxl)) == sdxl
    weights = sdxl / "text_encoder_2" / "model.safetensors"
    half = weights.with_name("model.fp16.safetensors")
    weights.rename(half)
    assert model_folder(str(sdxl)) == sdxl
    assert weight_files(half.parent, allow_pickle=False) == [half]
    assert load_pipeline(sdxl).text_encoders.pooled_width == 12
    half.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(ModelError, match="pickled weights only in text_encoder_2"):
        model_folder(str(sdxl))
    assert model_folder(str(sdxl), allow_pickle=True) == sdxl
    # Upstream has one beside its weights; torch cannot read it.
    weights.with_name("pytorch_model.bin").rename(weights.with_name("openvino_model.bin"))
    with pytest.raises(ModelError, match="no weights in text_encoder_2"):
        model_folder(str(sdxl), allow_pickle=True)
    shutil.rmtree(sdxl / "tokenizer_2")
    with pytest.raises(ModelError, match="lacks tokenizer_2"):
        model_folder(str(sdxl))


def test_an_empty_entry_for_a_second_text_encoder_is_none(copied: Path) -> None:
    rewrite_index(copied, "StableDiffusionPipeline", text_encoder_2=[None, None])
    assert model_folder(str(copied)) == copied
    assert encoders_of(copied) == (("text_encoder", "tokenizer"),)


def test_a_folder_that_is_no_generator_is_refused(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no model_index\.json"):
        model_folder(str(tmp_path))
    shutil.rmtree(copied / "scheduler")
    with pytest.raises(ModelError, match="lacks scheduler"):
        model_folder(str(copied))


def test_a_damaged_index_is_one_clear_line(copied: Path) -> None:
    (copied / "model_index.json").write_text("{")
    with pytest.raises(ModelError, match=r"model_index\.json cannot be read: not JSON"):
        model_folder(str(copied))


def test_pickled_weights_need_permission(copied: Path) -> None:
    weights = copied / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ModelError, match=r"pickled weights only in unet.*allow_pickle: true"):
        model_folder(str(copied))
    assert model_folder(str(copied), allow_pickle=True) == copied
    weights.with_suffix(".bin").unlink()
    with pytest.raises(ModelError, match="has no weights in unet"):
        model_folder(str(copied), allow_pickle=True)


def test_a_model_that_is_nowhere_says_where_was_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        ModelError, match="nobody/no-such-model at revision v2: not found as a local"
    ):
        model_folder("nobody/no-such-model", revision="v2")


def test_weights_stored_as_a_half_precision_variant_are_found(copied: Path) -> None:
    weights = copied / "vae" / "diffusion_pytorch_model.safetensors"
    assert weight_files(copied / "vae", allow_pickle=False) == [weights]
    half = weights.rename(weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert weight_files(copied / "vae", allow_pickle=False) == [half]


def test_the_hash_covers_weights_and_configurations_and_nothing_else(copied: Path) -> None:
    before = weights_sha256(copied)
    (copied / "safety_checker").mkdir()
    (copied / "safety_checker" / "model.safetensors").write_bytes(b"x")
    (copied / "README.md").write_text("words")
    assert weights_sha256(copied) == before
    config = copied / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("epsilon", "v_prediction"))
    changed = weights_sha256(copied)
    assert changed != before
    weights = copied / "vae" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    assert weights_sha256(copied) not in (before, changed)


JUNK = (
    "text_encoder_2/model.fp16.safetensors",
    "text_encoder_2/openvino_model.bin",
    "text_encoder_2/pytorch_model.bin",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/model.onnx",
    "safety_checker/model.safetensors",
    "sd_xl_base_1.0.safetensors",
)


def test_only_what_is_read_is_fetched(hub: Hub) -> None:
    needed = {str(path.relative_to(hub.model)) for path in hub.model.rglob("*") if path.is_file()}
    for name in JUNK:
        (hub.model / name).parent.mkdir(exist_ok=True)
        (hub.model / name).write_bytes(b"x")
    folder = model_folder("someone/model", "v1")
    assert folder == hub.cache
    assert hub.fetched() == needed
    assert load_pipeline(folder).text_encoders.pooled_width == 12
    model_folder("someone/model", "v1", allow_pickle=True)
    assert hub.fetched() == needed | {"text_encoder_2/pytorch_model.bin"}


def test_half_precision_is_fetched_for_the_parts_that_have_nothing_else(hub: Hub) -> None:
    for part in ("unet", "text_encoder_2"):
        (weights,) = (hub.model / part).glob("*.safetensors")
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    spare = hub.model / "vae" / "diffusion_pytorch_model.fp16.safetensors"
    spare.write_bytes(b"x")
    load_pipeline(model_folder("someone/model", "v1"))
    assert "text_encoder_2/model.fp16.safetensors" in hub.fetched()
    assert "vae/diffusion_pytorch_model.fp16.safetensors" not in hub.fetched()


def test_what_cannot_be_used_is_refused_before_its_weights_are_fetched(hub: Hub) -> None:
    rewrite_index(hub.model, "FluxPipeline", transformer=["diffusers", "FluxTransformer2DModel"])
    with pytest.raises(ModelError, match="someone/model is a FluxPipeline, whose denoiser is a"):
        model_folder("someone/model", "v1")
    assert hub.fetched() == {"model_index.json"}
    assert hub.calls == 1
