"""Answers recorded in one run and replayed in another, without a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from pairaug.errors import SettingsError
from pairaug.pair import Pair
from pairaug.rewrite import Rewrite, RewriteSettings
from support.chat import ChatServer, Reply

MakePair = Callable[..., Pair]
SOURCES = ("Small left pleural effusion. No pneumothorax.", "Mild cardiomegaly. No edema.")


@pytest.fixture
def recording(rewrite, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path):
    """A recording of two reports, and the children of the recorded run."""
    answers = [
        "No pleural effusion. Large right pneumothorax.",
        "Sorry, I cannot help.",
        "No edema",
    ]
    chat_server.answer = lambda request, number: Reply(answers[number % 3])
    pairs = [make_pair(text, str(index)) for index, text in enumerate(SOURCES)]
    path = tmp_path / "recorded.jsonl"
    return path, pairs, rewrite(pairs, record=path, concurrency=1, attempts=2)


def test_a_recording_gives_the_same_rewrites(recording, rewrite, chat_server: ChatServer):
    path, pairs, before = recording
    num_asked = len(chat_server.requests)
    again = rewrite(pairs, backend="replay", recording=path, attempts=2)
    assert [(pair.report, pair.drop) for pair in again] == [
        (pair.report, pair.drop) for pair in before
    ]
    assert len(chat_server.requests) == num_asked
    assert again[0].trace["rewrite"]["backend"] == "replay"


def test_a_recording_has_hashes_of_reports_and_is_private(recording):
    path, _, _ = recording
    assert path.stat().st_mode & 0o077 == 0
    for line in path.read_text().splitlines():
        assert set(json.loads(line)) == {"report", "branch", "variant", "attempt", "answer"}
    assert not any(source in path.read_text() for source in SOURCES)


def test_an_unrecorded_answer_is_a_drop(recording, rewrite, make_pair: MakePair):
    path, _, _ = recording
    (inter,) = rewrite(
        [make_pair("Severe pulmonary edema.")], backend="replay", recording=path, branches=["inter"]
    )
    assert inter.drop is not None
    assert (inter.drop.reason, inter.drop.detail) == (
        "backend_error",
        "the recording has no answer to it",
    )


def test_the_recordings_content_counts_as_weights(recording):
    path, _, _ = recording
    settings = RewriteSettings(backend="replay", recording=path)
    before = Rewrite.weights(settings)
    path.write_text(path.read_text().splitlines()[0] + "\n")
    assert before["recording"] != Rewrite.weights(settings)["recording"]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"report": "x"}', '{"report": "axolotl", "failure": 1}']
)
def test_a_damaged_recording_is_an_error_with_its_line(recording, rewrite, make_pair, line: str):
    path, pairs, _ = recording
    num_lines = len(path.read_text().splitlines())
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(
        SettingsError, match=f"line {num_lines + 1} is not a recorded answer"
    ) as caught:
        rewrite(pairs, backend="replay", recording=path)
    assert "axolotl" not in str(caught.value)


def test_a_missing_recording_is_an_error(rewrite, make_pair: MakePair, tmp_path: Path):
    with pytest.raises(SettingsError, match=r"rewrite\.recording cannot be read at .*none\.jsonl"):
        rewrite([make_pair(SOURCES[0])], backend="replay", recording=tmp_path / "none.jsonl")
    with pytest.raises(ValidationError, match=r"needs rewrite\.recording"):
        RewriteSettings(backend="replay")
