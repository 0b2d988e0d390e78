"""Answers of reasoning models."""

from __future__ import annotations

import pytest

from pairaug.rewrite.backends import Answer, Failure
from pairaug.rewrite.structured import read_answer
from pairaug.rewrite.thoughts import without_thoughts

ANSWER = "No pleural effusion. Large right pneumothorax."


@pytest.mark.parametrize(
    "raw",
    [
        f"<think>First.</think>{ANSWER}",
        f"<think>\n\n</think>\n\n{ANSWER}",
        f"First I look at it.\n</think>\n\n{ANSWER}",
        f"<thinking>No effusion?</thinking>\n{ANSWER}",
        f"<THINK>First.</THINK>{ANSWER}",
        f"<thought>First.</thought>{ANSWER}",
        f"<reasoning effort='low'>First.</reasoning>{ANSWER}",
        f"[THINK]First.[/THINK]{ANSWER}",
        f"First.[/THINK]{ANSWER}",
        f"◁think▷First.◁/think▷{ANSWER}",
        f"<unused94>thought\nFirst.<unused95>{ANSWER}",
        f"<seed:think>First.</seed:think>{ANSWER}",
        f"<|begin_of_thought|>First.<|end_of_thought|>\n{ANSWER}",
        f"<|begin_of_thought|>First.<|end_of_thought|><|begin_of_solution|>{ANSWER}"
        "<|end_of_solution|>",
        f"<|START_THINKING|>First.<|END_THINKING|><|START_RESPONSE|>{ANSWER}<|END_RESPONSE|>",
        f"<think>One.</think><think>Two.</think>{ANSWER}",
        f"<think>One <think>in another</think> and on.</think>{ANSWER}",
        f"{ANSWER}<think>Was that right?</think>",
        f"<think>First.</think><answer>{ANSWER}</answer>",
        f"<think>First.</think><response>{ANSWER}",
        f"<|channel|>analysis<|message|>First.<|end|><|start|>assistant<|channel|>final"
        f"<|message|>{ANSWER}<|return|>",
        f"<|channel|>final <|constrain|>json<|message|>{ANSWER}",
        f"analysisFirst I look at it.assistantfinal{ANSWER}",
        f"analysis\nFirst.\nassistant\nfinal\n{ANSWER}",
        ANSWER,
    ],
)
def test_thoughts_are_left_out(raw: str):
    assert without_thoughts(raw) == ANSWER
    answer = read_answer(raw)
    assert isinstance(answer, Answer)
    assert answer.report.text == ANSWER


@pytest.mark.parametrize(
    "raw",
    [
        f"<think>{ANSWER}",
        f"<think>First.</think>{ANSWER}<think>Wait: {ANSWER}",
        f"[THINK]{ANSWER}",
        f"<|channel|>analysis<|message|>{ANSWER}",
        f"<|channel|>analysis<|message|>First.<|end|><|channel|>commentary<|message|>{ANSWER}",
        f"◁think▷{ANSWER}",
    ],
)
def test_thoughts_without_an_end_are_a_failure(raw: str):
    assert without_thoughts(raw) is None
    failure = read_answer(raw)
    assert isinstance(failure, Failure)
    assert failure.reason == "empty_answer"


@pytest.mark.parametrize("raw", ["I think that there is no edema.", "No edema (analysis final)."])
def test_plain_text_is_kept(raw: str):
    assert without_thoughts(raw) == raw
