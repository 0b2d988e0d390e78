"""A server that misbehaves for three requests in ten, always in the same way for the same one."""

from __future__ import annotations

import json
import threading
from collections import Counter
from hashlib import sha256
from typing import Any

from support.chat import Reply

FAULTS: tuple[Reply, ...] = (
    Reply(status=429, body=b"{}", headers={"Retry-After": "0"}),
    Reply(status=429, body=b"{}"),
    Reply(status=500, body=b"oh dear"),
    Reply(body=b'{"id": "chat-1", "choices": [{"ind'),
    Reply(text="Half of a pangolin.", cuts_off=True),
    Reply(text="A late pangolin.", delay_seconds=1.5),
)
"""What a request may meet when it comes for the first time."""

BAD_ANSWERS = (
    "I'm sorry, but I cannot help with that.",
    "There is a large right pleural effusion beside the pangolin. " * 20,
    None,  # the report as it was
    "No pleural effusion. Large left pleural effusion.",
    '{"report": "No pleural eff',
)
"""What a request is answered with, every time, if it is not answered well."""


class Moody:
    """Answers by the request alone, but for faults, which it has the first time only."""

    def __init__(self) -> None:
        self.num_answers: Counter[str] = Counter()
        """Answers given in full, which is what is paid for, by request."""
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, request: dict[str, Any], number: int) -> Reply:
        key = sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        mood = int(key[:8], 16) % 100
        with self._lock:
            is_first = key not in self._seen
            self._seen.add(key)
            if is_first and mood < 15:
                return FAULTS[mood % len(FAULTS)]
            self.num_answers[key] += 1
        if 15 <= mood < 30:
            bad = BAD_ANSWERS[mood % len(BAD_ANSWERS)]
            return Reply(_report_in(request) if bad is None else bad)
        return Reply(_rewritten(_report_in(request), request))


def _report_in(request: dict[str, Any]) -> str:
    return next(m["content"] for m in request["messages"] if m["role"] == "user")


def _rewritten(report: str, request: dict[str, Any]) -> str:
    if "another, plausible patient" in request["messages"][0]["content"]:
        text = "No pleural effusion. Large right pneumothorax."
    else:
        text = report.replace("left", "bilateral")
    change = {"finding": "pleural effusion", "from": "left", "to": "bilateral"}
    return json.dumps({"report": text, "changes": [change]})
