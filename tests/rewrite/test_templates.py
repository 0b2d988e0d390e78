"""The messages to language models: instruction, target, examples, report, rejected answers."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from pairaug.pair import Branch
from pairaug.rewrite.backends import Rejected, Request
from pairaug.rewrite.settings import RewriteSettings, WorkedExample
from pairaug.rewrite.templates import Instructions, instructions_of, load_instructions

REPORT = "Small left pleural effusion."
EXAMPLES = (
    WorkedExample(
        branch="intra", report="No edema. Left effusion.", answer="Mild edema. Left effusion."
    ),
    WorkedExample(branch="inter", report="Large heart.", answer="Heart size is normal."),
)


def asked(branch: str, **changes: object) -> Request:
    values = {"report": REPORT, "stated": (), "max_words": 40, "seed": 0, **changes}
    return Request(branch=Branch(branch), **values)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def instructions() -> Instructions:
    return load_instructions(examples=EXAMPLES)


@pytest.mark.parametrize("branch", ["inter", "intra"])
@pytest.mark.parametrize("answer_format", ["json", "text"])
def test_everything_is_filled_in(instructions: Instructions, branch: str, answer_format: str):
    request = asked(branch, target="lung lesion")
    system = instructions.messages(request, answer_format)[0]["content"]  # pyright: ignore[reportArgumentType]
    assert "{" not in system
    assert "40 words" in system
    assert "a lung nodule or mass" in system
    assert ("JSON" in system) == (answer_format == "json")


def test_examples_of_the_branch_come_before_the_report(instructions: Instructions):
    messages = instructions.messages(asked("intra"), "text")
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert [message["content"] for message in messages[1:]] == [
        "No edema. Left effusion.", "Mild edema. Left effusion.", REPORT
    ]  # fmt: skip
    answer = instructions.messages(asked("intra"), "json")[2]["content"]
    assert json.loads(answer) == {
        "report": "Mild edema. Left effusion.",
        "changes": [{"finding": "edema", "from": "absent", "to": "present"}],
    }


def test_the_reason_follows_the_rejected_answer(instructions: Instructions):
    request = asked("inter", rejected=(Rejected("Too long.", "it has 60 words"),))
    *_, report, answer, again = instructions.messages(request, "text")
    assert (report["content"], answer["content"]) == (REPORT, "Too long.")
    assert "it has 60 words" in again["content"]


def test_examples_and_instructions_are_in_the_fingerprint(instructions: Instructions):
    without = load_instructions()
    assert without.fingerprint(Branch.INTRA) != instructions.fingerprint(Branch.INTRA)
    one = load_instructions(examples=EXAMPLES[:1])
    assert one.fingerprint(Branch.INTER) == without.fingerprint(Branch.INTER)


def test_examples_with_marks_are_rejected():
    settings = RewriteSettings.model_validate({"examples": [EXAMPLES[0].model_dump()]})
    assert instructions_of(settings).examples == EXAMPLES[:1]
    with pytest.raises(ValidationError, match="de-identification mark"):
        WorkedExample(branch="inter", report="No XXXX effusion.", answer="Left effusion.")
