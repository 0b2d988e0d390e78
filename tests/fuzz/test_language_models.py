"""Answers of language models' servers, and recordings of them."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from support.fuzz.bounded import fuzz
from support.fuzz.checks import llm_body, recording
from support.fuzz.strategies import CHANGES, DAMAGES, changed, damaged

BODY = {
    "id": "x",
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": '<think>a</think>{"report": "No edema."}'},
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
}
ERROR = {"error": {"message": "no", "type": "x", "code": "insufficient_quota", "param": "seed"}}
_STATUS = st.sampled_from([200, 200, 200, 400, 401, 402, 404, 408, 413, 422, 429, 500, 503, 599])


def _bytes(tree: object) -> bytes:
    return json.dumps(tree).encode("utf-8", "surrogatepass")


_TREES = st.builds(changed, st.sampled_from([BODY, ERROR]), CHANGES).map(_bytes)
_DAMAGED = st.builds(damaged, st.sampled_from([_bytes(BODY), _bytes(ERROR)]), DAMAGES)
_LINE = {"branch": "inter", "report": "Edema.", "variant": 0, "attempt": 0, "answer": "No edema."}

test_any_answer_is_read = fuzz(
    llm_body, st.tuples(_STATUS, _TREES | _DAMAGED), short=100, valid=[(200, _bytes(BODY))]
)
test_any_recording_is_read = fuzz(
    recording,
    st.builds(damaged, st.just(_bytes(_LINE) + b"\n"), DAMAGES)
    | st.builds(changed, st.just(_LINE), CHANGES).map(_bytes),
    short=30,
)
