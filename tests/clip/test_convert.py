from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from pairaug.cli import app
from pairaug.clip.convert import convert_weights
from pairaug.clip.encoders import open_encoder
from pairaug.errors import ModelError
from support.original_layouts import (
    bert_tokenizer,
    generated,
    medclip_weights,
    openai_clip_shapes,
    openai_tokenizer,
)

IMAGE = np.linspace(0, 1, 60 * 50, dtype=np.float32).reshape(60, 50)


@pytest.fixture(scope="module")
def medclip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as MedCLIP publishes it, a pickle and nothing else; its vocabulary in another."""
    folder = tmp_path_factory.mktemp("published") / "medclip-vit"
    folder.mkdir()
    weights = medclip_weights(depths=(1, 1, 1, 1), num_layers=2, vocabulary=len(bert_tokenizer()))
    torch.save(weights, folder / "pytorch_model.bin")
    words = folder.parent / "bert"
    words.mkdir()
    vocabulary = bert_tokenizer().get_vocab()
    lines = sorted(vocabulary, key=vocabulary.__getitem__)
    (words / "vocab.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_medclip_is_converted_with_consent(medclip: Path, tmp_path: Path) -> None:
    words = medclip.parent / "bert"
    with pytest.raises(ModelError, match="is a pickle, which can run code"):
        convert_weights(medclip, tmp_path / "out", tokenizer=words)
    assert not (tmp_path / "out").exists()
    folder = convert_weights(medclip, tmp_path / "out", tokenizer=words, allow_pickle=True)
    pickled = torch.load(medclip / "pytorch_model.bin", weights_only=True)
    stored = load_file(folder / "model.safetensors")
    assert stored.keys() == pickled.keys()
    assert all(torch.equal(stored[name], pickled[name]) for name in pickled)
    assert json.loads((folder / "config.json").read_text()) == {"model_type": "medclip"}
    encoder = open_encoder(folder)
    assert encoder.encode_images([IMAGE]).shape == (1, 512)
    assert encoder.encode_reports(["No effusion"]).shape == (1, 512)
    with pytest.raises(ModelError, match="already exists"):
        convert_weights(medclip, folder, tokenizer=words, allow_pickle=True)


def test_the_pickle_itself_opens_with_consent_to_the_same_vectors(
    medclip: Path, tmp_path: Path
) -> None:
    words = medclip.parent / "bert"
    converted = convert_weights(medclip, tmp_path / "out", tokenizer=words, allow_pickle=True)
    by_hand = tmp_path / "by-hand"
    shutil.copytree(medclip, by_hand)
    shutil.copy(words / "vocab.txt", by_hand)
    (by_hand / "config.json").write_text('{"model_type": "medclip"}')
    with pytest.raises(ModelError, match="pickled weights only"):
        open_encoder(by_hand)
    reports = ["No pleural effusion", "large left effusion"]
    one, other = open_encoder(by_hand, allow_pickle=True), open_encoder(converted)
    assert np.array_equal(one.encode_reports(reports), other.encode_reports(reports))


def test_without_a_tokenizer_it_says_which(medclip: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pass --tokenizer FOLDER with Bio_ClinicalBERT's"):
        convert_weights(medclip, tmp_path / "out", allow_pickle=True)


def test_a_checkpoint_of_chexzero_by_the_command(tmp_path: Path) -> None:
    tokenizer = openai_tokenizer()
    path = tmp_path / "best_64_0.0001_original_35000_0.864.pt"
    torch.save(generated(openai_clip_shapes(1, 1, vocabulary=len(tokenizer))), path)
    tokenizer.save_pretrained(tmp_path / "words")
    given = ["convert", str(path), "--tokenizer", str(tmp_path / "words")]
    refused = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "out")])
    assert refused.exit_code == 1
    assert "allow it explicitly" in refused.output
    done = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "out"), "--allow-pickle"])
    assert done.exit_code == 0, done.output
    assert "chexzero, SHA-256" in done.output
    assert open_encoder(tmp_path / "out").encode_images([IMAGE]).shape == (1, 512)


def test_a_pickle_that_runs_code_is_not_run(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"weight": Harmful()}, tmp_path / "weights.bin")
    with pytest.raises(ModelError, match="is damaged, or has more than tensors"):
        convert_weights(tmp_path / "weights.bin", tmp_path / "out", allow_pickle=True)
    assert not (tmp_path / "ran").exists()


def test_a_transformers_folder_keeps_its_files(tiny_scorer_folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(tiny_scorer_folder, old)
    weights = load_file(old / "model.safetensors")
    (old / "model.safetensors").unlink()
    torch.save(weights, old / "pytorch_model.bin")
    folder = convert_weights(old, tmp_path / "new", allow_pickle=True)
    expected = open_encoder(tiny_scorer_folder).encode_reports(["no effusion"])
    assert np.array_equal(open_encoder(folder).encode_reports(["no effusion"]), expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must have one weights file"),
        ({"weight": torch.zeros(2)}, "neither MedCLIP's nor CheXzero's"),
        ([1, 2], "does not map names to weights"),
    ],
)
def test_rejects_other_files_in_one_line(tmp_path: Path, content: object, message: str) -> None:
    if content is not None:
        torch.save(content, tmp_path / "weights.bin")
    with pytest.raises(ModelError, match=message):
        convert_weights(tmp_path, tmp_path / "out", allow_pickle=True)
    with pytest.raises(ModelError, match="there is no such file or folder"):
        convert_weights(tmp_path / "nothing", allow_pickle=True)
