"""A server with OpenAI's interface on this machine, which answers or misbehaves as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Reply:
    """One HTTP answer; `text` goes into a chat completion unless `body` is given."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay_seconds: float = 0.0
    cuts_off: bool = False
    drips: bool = False


@dataclass
class ChatServer:
    """What the server was asked, and how it answers: `answer` gets the request and its number."""

    answer: Callable[[dict[str, Any], int], Reply]
    records: Reply | None = None
    """What a request for the list of models is answered; 501 if None."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    url: str = ""
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reply_to(self, request: dict[str, Any], path: str, headers: dict[str, str]) -> Reply:
        with self._lock:
            self.requests.append(request)
            self.authorizations.append(headers.get("authorization", ""))
            self.headers.append(headers)
            self.paths.append(path)
            number = len(self.requests)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            reply = self.answer(request, number)
            time.sleep(reply.delay_seconds)
            return reply
        finally:
            with self._lock:
                self._at_once -= 1


def completion(text: str, finish_reason: str = "stop") -> bytes:
    """The body of a chat completion that holds `text`: 100 tokens in, 20 out."""
    return json.dumps(
        {
            "id": "chat-1",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish_reason,
                    "message": {"role": "assistant", "content": text},
                }
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
        }
    ).encode()
