"""Models of transformers in this process: real classes at tiny sizes, random weights."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pairaug.errors import ModelError, RunError
from pairaug.pair import Pair
from pairaug.rewrite import Rewrite, RewriteSettings
from pairaug.rewrite.causal_model import CausalModel, SeededSampling, language_model_folder
from pairaug.stage import RunContext
from support.tiny_llama import TEMPLATE_WITHOUT_SYSTEM, write_llama

MakePair = Callable[..., Pair]
CONVERSATIONS = [
    [{"role": "system", "content": "Rewrite."}, {"role": "user", "content": text}]
    for text in ("No edema.", "Small left pleural effusion.", "Heart.", "Clear lungs. " * 4)
]
SEEDS = [1, 2, 3, 4]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def model(folder: Path) -> CausalModel:
    return CausalModel(folder, "cpu", "float32")


@pytest.mark.parametrize("top_p", [1.0, 0.9])
@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_answers_do_not_depend_on_the_batch(model: CausalModel, temperature: float, top_p: float):
    together = model.generate(CONVERSATIONS, SEEDS, temperature, top_p, 20)
    alone = [
        model.generate([conversation], [seed], temperature, top_p, 20)[0]
        for conversation, seed in zip(CONVERSATIONS, SEEDS, strict=True)
    ]
    assert together == alone
    assert len({answer.text for answer in together}) > 1


def test_answers_depend_on_their_seeds(model: CausalModel):
    same = [CONVERSATIONS[0]] * 4
    first = model.generate(same, SEEDS, 1.0, 1.0, 20)
    assert first == model.generate(same, SEEDS, 1.0, 1.0, 20)
    assert first[::-1] == model.generate(same, SEEDS[::-1], 1.0, 1.0, 20)
    assert len({answer.text for answer in first}) == 4
    greedy = model.generate(same, SEEDS, 0.0, 1.0, 20)
    assert len({answer.text for answer in greedy}) == 1


def test_samples_follow_the_distribution():
    scores = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05])).repeat(4000, 1)
    sampled = SeededSampling(range(4000), 1.0)(None, scores).argmax(-1)
    fractions = torch.bincount(sampled, minlength=4) / 4000
    assert torch.allclose(fractions, torch.tensor([0.5, 0.3, 0.15, 0.05]), atol=0.03)
    within = SeededSampling(range(4000), 1.0, top_p=0.7)(None, scores).argmax(-1)
    assert set(within.tolist()) == {0, 1}
    cold = SeededSampling(range(4000), 0.05)(None, scores).argmax(-1)
    assert set(cold.tolist()) == {0}


def test_tokens_are_counted_and_limited(model: CausalModel):
    (answer,) = model.generate(CONVERSATIONS[:1], [0], 0.5, 1.0, 7)
    # Three marks of the template, its two ends, and one token per byte.
    assert answer.num_tokens_in == 5 + len("Rewrite.") + len("No edema.")
    assert 1 <= answer.num_tokens_out <= 7


def test_an_answer_without_its_end_is_a_failure(
    folder: Path, model: CausalModel, make_pair: MakePair, tmp_path: Path
):
    answers = model.generate(CONVERSATIONS, SEEDS, 1.0, 1.0, 7)
    assert [answer.is_cut for answer in answers] == [
        answer.num_tokens_out == 7 for answer in answers
    ]
    ended = model.generate(CONVERSATIONS[:1] * 200, range(200), 1.0, 1.0, 200)
    assert {answer.is_cut for answer in ended} == {True, False}
    assert all(answer.num_tokens_out == 200 for answer in ended if answer.is_cut)
    children = rewritten(folder, tmp_path / "a.sqlite", [make_pair("Small left effusion.")])
    for child in children:
        assert child.drop is not None
        assert (child.drop.reason, child.drop.detail) == (
            "cut", "its answer is cut after 24 tokens (rewrite.max_tokens)"
        )  # fmt: skip


def test_a_prompt_that_is_too_long_does_not_affect_others(tmp_path: Path):
    model = CausalModel(write_llama(tmp_path, window=64), "cpu", "float32")
    long = [{"role": "user", "content": "effusion " * 20}]
    answers = model.generate([CONVERSATIONS[0], long], [1, 2], 0.5, 1.0, 8)
    assert answers[0].text is not None
    assert answers[1].text is None


def test_a_template_without_a_system_role_gets_one_message(tmp_path: Path):
    model = CausalModel(write_llama(tmp_path, template=TEMPLATE_WITHOUT_SYSTEM), "cpu", "float32")
    prompt = model._prompt(CONVERSATIONS[0])
    assert prompt == "<|user|>Rewrite.\n\nNo edema.<|end|><|assistant|>"


def test_a_model_without_a_template_is_refused(tmp_path: Path):
    with pytest.raises(ModelError, match="no chat template"):
        CausalModel(write_llama(tmp_path, template=None), "cpu", "float32")


def test_a_folder_without_a_model_is_an_error(folder: Path, tmp_path: Path):
    with pytest.raises(ModelError, match=r"no config\.json"):
        language_model_folder(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"no \.safetensors"):
        language_model_folder(str(tmp_path))
    with pytest.raises(ModelError, match="cannot load the language model missing/model"):
        language_model_folder("missing/model")
    assert language_model_folder(str(folder)) == folder


def test_running_out_of_memory_names_the_batch_size(folder: Path, monkeypatch: pytest.MonkeyPatch):
    model = CausalModel(folder, "cpu", "float32")

    def fail(**arguments: Any) -> None:
        raise torch.OutOfMemoryError("too much")

    monkeypatch.setattr(model._model, "generate", fail)
    with pytest.raises(RunError, match=r"rewrite\.transformers\.batch_size"):
        model.generate(CONVERSATIONS[:1], [0], 0.5, 1.0, 7)


def rewritten(folder: Path, cache: Path, pairs: list[Pair], batch_size: int = 4) -> list[Pair]:
    settings = RewriteSettings.model_validate(
        {
            "backend": "transformers",
            "transformers": {"model": str(folder), "batch_size": batch_size},
            "max_tokens": 24,
            "attempts": 2,
            "cache": cache,
        }
    )
    stage = Rewrite(settings, RunContext(seed=0))
    return [pair for pair in stage(pairs) if pair.parent_id]


def test_every_child_is_accepted_or_has_a_reason(
    folder: Path, make_pair: MakePair, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    texts = ("Small left pangolin effusion.", "No edema. Mild cardiomegaly.", "Clear lungs.")
    pairs = [make_pair(f"{text} No fracture.", str(n)) for n, text in enumerate(texts)]
    children = rewritten(folder, tmp_path / "one.sqlite", pairs)
    assert len(children) == 6
    for child in children:
        # Random weights do not write English; the reason and the text are kept.
        assert child.drop is not None
        assert child.report.text
        assert child.trace["rewrite"]["attempts"] == 2
        assert child.trace["rewrite"]["backend"] == "transformers"
    assert children == rewritten(folder, tmp_path / "one.sqlite", pairs)
    others = rewritten(folder, tmp_path / "two.sqlite", pairs[::-1], batch_size=1)
    assert {child.id: child for child in others} == {child.id: child for child in children}
    assert "pangolin" not in caplog.text


def test_weights_and_instructions_are_hashed(folder: Path):
    settings = RewriteSettings.model_validate(
        {"backend": "transformers", "transformers": {"model": str(folder)}}
    )
    assert set(Rewrite.weights(settings)) == {
        "instructions/inter", "instructions/intra", str(folder)
    }  # fmt: skip
