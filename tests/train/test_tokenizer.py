from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import models
from transformers import CLIPTokenizer

from pairaug.errors import ModelError
from pairaug.train.tokenizer import (
    MAX_TOKENS,
    load_tokenizer,
    token_ids,
    token_table,
    train_tokenizer,
    warn_of_truncation,
)

REPORTS = [
    "Large left pneumothorax.",
    "Mild cardiomegaly. No pleural effusion.",
    "Lungs are clear.",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(REPORTS * 5, folder)
    return folder


def test_transformers_loads_it_with_whole_words(folder: Path):
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("Large LEFT pneumothorax, bilateral effusions.") == [
        "large</w>",
        "left</w>",
        "pneumothorax</w>",
        ",</w>",
        "bilateral</w>",
        "effusions</w>",
        ".</w>",
    ]
    assert len(tokenizer) <= 2500
    assert tokenizer.model_max_length == MAX_TOKENS


@pytest.mark.parametrize("text", [*REPORTS, "hippopotamus", "naïve ☃ 心", "3.5 cm (A/B) ~ §"])
def test_no_text_is_lost(folder: Path, text: str):
    tokenizer = load_tokenizer(folder)
    ids = tokenizer(text).input_ids
    # The mark at the end doubles as CLIP's unknown token: inside the text there must be none.
    assert tokenizer.unk_token_id not in ids[1:-1]
    decoded = tokenizer.decode(ids, skip_special_tokens=True)
    assert decoded.replace(" ", "") == text.lower().replace(" ", "")


def test_it_frames_a_report_as_clip_does(folder: Path):
    tokenizer = load_tokenizer(folder)
    ids = token_ids(tokenizer, ["Lungs are clear.", ""])
    assert ids.shape == (2, MAX_TOKENS)
    assert ids[0, 0] == ids[1, 0] == tokenizer.bos_token_id
    assert (ids[0] == tokenizer.eos_token_id).int().argmax() == 5
    assert (ids[1, 1:] == tokenizer.eos_token_id).all()


def test_vocab_and_merges_alone_say_the_same(folder: Path):
    vocabulary = json.loads((folder / "vocab.json").read_text())
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    lines = (folder / "merges.txt").read_text().splitlines()[1:]
    alone = CLIPTokenizer(vocab=vocabulary, merges=[tuple(line.split(" ")) for line in lines])
    for text in [*REPORTS, "hippopotamus naïve"]:
        assert alone(text).input_ids == load_tokenizer(folder)(text).input_ids
    # The Rust model reads the two files as they are.
    models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))


def test_training_twice_gives_the_same_bytes(folder: Path, tmp_path: Path):
    train_tokenizer(REPORTS * 5, tmp_path)
    for name in ("vocab.json", "merges.txt", "tokenizer.json"):
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()


def test_missing_tokenizer(tmp_path: Path):
    with pytest.raises(ModelError, match=r"no CLIP tokenizer: vocab\.json is missing"):
        load_tokenizer(tmp_path)


def test_the_table_holds_every_report(folder: Path, dataset):
    tokenizer = load_tokenizer(folder)
    table = token_table(dataset, tokenizer)
    assert table.shape == (len(dataset.images), 2, MAX_TOKENS)
    expected = token_ids(tokenizer, [dataset.reports[3][1]])[0]
    assert table[3, 1].tolist() == expected.tolist()


def test_truncated_reports_are_counted(folder: Path, caplog: pytest.LogCaptureFixture):
    tokenizer = load_tokenizer(folder)
    word = "effusion "
    per_word = len(tokenizer(word * 2).input_ids) - len(tokenizer(word).input_ids)
    texts = [word * ((MAX_TOKENS - 2) // per_word), word * (MAX_TOKENS // per_word + 2), word]
    assert len(tokenizer(texts[0]).input_ids) <= MAX_TOKENS
    warn_of_truncation(tokenizer, texts, token_ids(tokenizer, texts), MAX_TOKENS)
    assert f"1 of 3 reports are longer than the window of {MAX_TOKENS} tokens" in caplog.text
