"""Where sentences end, and where points, numbers and line breaks do not end them."""

from __future__ import annotations

import pytest

from pairaug.findings import sentences

CASES = [
    ("No effusion. Heart is normal.", ["No effusion.", "Heart is normal."]),
    ("no effusion. heart is normal", ["no effusion.", "heart is normal"]),
    (
        "1. Left effusion. 2. Cardiomegaly with a 4.5 cm mass.",
        ["Left effusion.", "Cardiomegaly with a 4.5 cm mass."],
    ),
    ("1) Edema\n2) Effusion", ["Edema", "Effusion"]),
    ("- Edema\n- Effusion", ["Edema", "Effusion"]),
    ("Atelectasis vs. pneumonia at the base.", ["Atelectasis vs. pneumonia at the base."]),
    ("As told by Dr. Smith. No edema.", ["As told by Dr. Smith.", "No edema."]),
    ("The lungs are\nclear today.", ["The lungs are\nclear today."]),
    ("No edema\n\nNo effusion", ["No edema", "No effusion"]),
    ("Lungs are clear.No effusion.", ["Lungs are clear.", "No effusion."]),
    ("No active disease The heart is normal", ["No active disease", "The heart is normal"]),
    ("  ...  ", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_sentences(text: str, expected: list[str]):
    assert [text[start:end] for start, end in sentences(text)] == expected
