"""Removes the thoughts of reasoning models from their answers."""

from __future__ import annotations

import re

_WORDS = r"think|thinking|thoughts?|reason|reasoning|reflection|analysis|scratchpad"
# Opening and closing marks of thoughts, by model family.
_MARKS = (
    (rf"<(?:seed:)?(?:{_WORDS})(?:\s[^<>]*)?>", rf"</(?:seed:)?(?:{_WORDS})\s*>"),
    (rf"\[(?:{_WORDS})\]", rf"\[/(?:{_WORDS})\]"),
    (r"<\|(?:begin_of_thought|start_thinking)\|>", r"<\|(?:end_of_thought|end_thinking)\|>"),
    (r"◁think▷", r"◁/think▷"),
    (r"<unused94>(?:thought)?", r"<unused95>"),
)
_ANY_CASE = re.IGNORECASE | re.DOTALL
_OPENS = re.compile("|".join(opening for opening, _ in _MARKS), _ANY_CASE)
_CLOSES = re.compile("|".join(closing for _, closing in _MARKS), _ANY_CASE)
_BLOCKS = re.compile("|".join(f"{a}(?:(?!{a}).)*?{b}" for a, b in _MARKS), _ANY_CASE)

# The channels of gpt-oss, with their marks, and without them if the server removes the marks.
_CHANNEL = re.compile(r"<\|channel\|>\s*\w+")
_CONSTRAINT = r"(?:<\|constrain\|>[^<]*)?"
_FINAL = re.compile(
    rf"<\|channel\|>\s*final[^<]*{_CONSTRAINT}<\|message\|>(.*?)(?:<\|\w+\|>|$)", re.DOTALL
)
_BARE_CHANNELS = re.compile(r"^\s*analysis(?=[A-Z\W]).*?assistant\s*final(.*)$", re.DOTALL)

_WRAPPERS = re.compile(
    r"^\s*(?:<(answer|response|final|output)>|<\|(begin_of_solution|start_response)\|>)(.*?)"
    r"(?:</\1>|<\|(?:end_of_solution|end_response)\|>)?\s*$",
    _ANY_CASE,
)


def without_thoughts(text: str) -> str | None:
    """The text after the thoughts; None if they do not end, so that there is no answer.

    Templates often open the thoughts, so that only the closing mark is in the answer.
    """
    if _CHANNEL.search(text):
        finals = _FINAL.findall(text)
        return finals[-1].strip() if finals else None
    bare = _BARE_CHANNELS.match(text)
    if bare:
        return bare[1].strip()
    rest = _CLOSES.split(_BLOCKS.sub("", text))[-1]
    if _OPENS.search(rest):
        return None
    wrapped = _WRAPPERS.match(rest)
    return (wrapped[3] if wrapped else rest).strip()
