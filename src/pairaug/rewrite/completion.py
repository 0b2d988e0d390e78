"""Reads a chat completion: its text, or the documented failure in its place.

Covers the failures of OpenAI, Azure OpenAI, vLLM, llama.cpp, Ollama and TGI, and of the
OpenAI-compatible interfaces of Gemini, Anthropic, Mistral and OpenRouter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pairaug.rewrite.backends import Failure
from pairaug.rewrite.cache import Usage
from pairaug.rewrite.reasons import Reason
from pairaug.rewrite.refusals import FILTERED, ServerError, error_in_answer
from pairaug.system.json_text import JSONTextError, parse_json

UNREADABLE = Failure("an answer that cannot be read", Reason.UNREADABLE_ANSWER)
_BROKEN_OFF = Failure("the server broke off its answer")
_REFUSED = Failure("the model refuses", Reason.REFUSAL)
_TOOL_CALL = Failure("it calls a tool", Reason.TOOL_CALL, again=True)
EMPTY = Failure("an empty answer", Reason.EMPTY_ANSWER)
_ONLY_THOUGHTS = Failure("thoughts without an answer", Reason.EMPTY_ANSWER, again=True)

_ENDED_WELL = frozenset(
    {"", "stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete", "completed", "done"}
)
_ENDED_EARLY = frozenset(
    {"length", "max_tokens", "max_output_tokens", "model_length", "token_limit", "incomplete",
     "model_context_window_exceeded"}
)  # fmt: skip
# Beginnings: Gemini writes "content_filter: SAFETY".
_ENDED_BY_FILTER = (
    "content_filter", "safety", "recitation", "prohibited", "blocklist", "blocked", "spii",
    "guardrail", "sensitive", "moderation",
)  # fmt: skip
_ENDED_IN_TOOL = frozenset({"tool_calls", "tool_call", "tool_use", "function_call"})
_THOUGHTS = ("reasoning", "reasoning_content", "reasoning_details", "thinking", "thinking_blocks")

# More tokens than any server counts in one answer; a larger number is not a count.
_MAX_TOKENS = 10**9


class BadAnswerError(Exception):
    """A response that is incomplete, too large, or compressed without being asked to."""


@dataclass(frozen=True, slots=True)
class Completion:
    """The text of a model's answer."""

    text: str


def cut(text: str, where: str) -> Failure:
    """The failure of a truncated answer; if only thoughts fitted, another seed does not help."""
    return Failure(f"its answer is cut {where}", Reason.CUT, again=bool(text.strip()), text=text)


def read_completion(content: bytes) -> tuple[Completion | Failure | ServerError, Usage | None]:
    """The answer in a response of status 200, with its usage if stated.

    Some servers send an error with status 200; then the `ServerError` is returned.
    """
    try:
        answer = parse_json(content)
    except JSONTextError:
        return UNREADABLE, None
    if not isinstance(answer, dict):
        return UNREADABLE, None
    usage = _usage(answer.get("usage"))
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    holder = choice if isinstance(choice, dict) and choice.get("error") else answer
    if holder.get("error") or holder.get("object") == "error":
        return error_in_answer(holder, status=None), usage
    return (_read_choice(choice) if isinstance(choice, dict) else UNREADABLE), usage


def _read_choice(choice: Mapping[str, Any]) -> Completion | Failure:
    message = choice.get("message")
    if not isinstance(message, dict):
        return UNREADABLE
    text, refusal = _text_in(message.get("content"))
    ended = str(choice.get("finish_reason") or "").lower()
    if ended.startswith(_ENDED_BY_FILTER):
        return FILTERED
    if ended == "refusal" or refusal or _is_text(message.get("refusal")):
        return _REFUSED
    if ended in _ENDED_EARLY:
        return cut(text, "at the most tokens that it may have (rewrite.max_tokens)")
    if ended in _ENDED_IN_TOOL or message.get("tool_calls") or message.get("function_call"):
        return _TOOL_CALL
    if ended not in _ENDED_WELL:
        return _BROKEN_OFF
    if not text.strip():
        return _ONLY_THOUGHTS if any(message.get(name) for name in _THOUGHTS) else EMPTY
    return Completion(text)


def _text_in(content: Any) -> tuple[str, bool]:
    """The text of a message's content without thoughts, and True if it is a refusal."""
    if isinstance(content, str):
        return content, False
    parts = content if isinstance(content, list) else [content]
    texts, refuses = [], False
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            refuses |= part.get("type") == "refusal"
            if part.get("type") in ("text", "output_text") and isinstance(part.get("text"), str):
                texts.append(part["text"])
    return "".join(texts), refuses


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _usage(counts: Any) -> Usage | None:
    """The usage counted by the server; None if it counts no tokens."""
    if not isinstance(counts, dict):
        return None
    tokens_in = _count(counts, "prompt_tokens", "input_tokens")
    tokens_out = _count(counts, "completion_tokens", "output_tokens")
    # Thoughts that are billed but not counted as completion are in the total.
    tokens_out = max(tokens_out, _count(counts, "total_tokens") - tokens_in)
    return Usage(1, tokens_in, tokens_out) if tokens_in or tokens_out else None


def _count(counts: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = counts.get(name)
        if isinstance(value, int | float) and 0 < value < _MAX_TOKENS:
            return int(value)
    return 0
