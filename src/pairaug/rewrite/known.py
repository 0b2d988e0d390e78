"""Parameters that a server does not support, and requests without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pairaug.rewrite.templates import fold


class Lack(StrEnum):
    """A part of OpenAI's interface that a server does not support."""

    SCHEMA = "response_format"
    SYSTEM = "system"
    MAX_TOKENS = "max_tokens"
    MAX_COMPLETION_TOKENS = "max_completion_tokens"
    SEED = "seed"
    TEMPERATURE = "temperature"
    TOP_P = "top_p"


LACK_OF_PARAMETER = {lack.value: lack for lack in Lack if lack not in (Lack.SCHEMA, Lack.SYSTEM)}
"""The name of a request's parameter → its `Lack`."""

_INSTEAD = {
    Lack.SCHEMA: "a request with a schema; the report alone is asked for instead",
    Lack.SYSTEM: "a system message; the instruction opens the user's message instead",
    Lack.MAX_TOKENS: "max_tokens; max_completion_tokens is sent instead",
    Lack.MAX_COMPLETION_TOKENS: "max_completion_tokens; how long an answer may be is up to it",
}


class LackError(Exception):
    """The server does not support a part of a request."""

    def __init__(self, lack: Lack, host: str = "", status: int = 0) -> None:
        self.lack = lack
        what = _INSTEAD.get(lack, f"{lack.value}; its own is used instead of rewrite.{lack.value}")
        super().__init__(f"{host} answers {status} to {what}")


@dataclass(slots=True)
class KnownServer:
    """The lacks found of a server, in order, kept for all parts of a run."""

    lacks: tuple[Lack, ...] = ()


def adapt(body: Mapping[str, Any], lacks: Sequence[Lack]) -> dict[str, Any]:
    """A request without the parts that its server does not support."""
    adapt = dict(body)
    if Lack.SYSTEM in lacks:
        adapt["messages"] = fold(body["messages"])
    if Lack.MAX_TOKENS in lacks:
        adapt["max_completion_tokens"] = body["max_tokens"]
    for lack in lacks:
        adapt.pop(lack.value, None)
    return adapt
