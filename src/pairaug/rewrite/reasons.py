"""The drop reasons of the rewrite stage."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A drop reason of `rewrite`."""

    # For a real pair.
    EMPTY_REPORT = "empty_report"
    REPORT_TOO_SHORT = "report_too_short"
    # For a synthetic pair, before any request.
    REPORT_NOT_ENGLISH = "report_not_english"
    NOTHING_TO_CHANGE = "nothing_to_change"
    # For a synthetic pair, for its last answer.
    EMPTY_ANSWER = "empty_answer"
    ANSWER_NOT_ENGLISH = "answer_not_english"
    TOO_LONG = "too_long"
    REFUSAL = "refusal"
    CONTENT_FILTER = "content_filter"
    CUT = "cut"
    TOOL_CALL = "tool_call"
    MARKUP = "markup"
    IDENTIFYING = "identifying"
    COMPARES = "compares"
    CONTRADICTION = "contradiction"
    UNCHANGED = "unchanged"
    CHANGED_TOO_MUCH = "changed_too_much"
    OFF_TARGET = "off_target"
    # For a synthetic pair without an answer.
    CONTEXT_LENGTH = "context_length"
    UNREADABLE_ANSWER = "unreadable_answer"
    BACKEND_ERROR = "backend_error"


MEANINGS: dict[Reason, str] = {
    Reason.EMPTY_REPORT: "The pair has no report text.",
    Reason.REPORT_TOO_SHORT: "The report has fewer words than `rewrite.min_words`.",
    Reason.REPORT_NOT_ENGLISH: "The report is not in English, so its rewrite cannot be checked.",
    Reason.NOTHING_TO_CHANGE: "The report states no finding on this image that can be changed.",
    Reason.EMPTY_ANSWER: "The answer is empty, has only thoughts, or states no finding.",
    Reason.ANSWER_NOT_ENGLISH: "The answer is not in English.",
    Reason.TOO_LONG: "The answer has more words than `rewrite.max_words`.",
    Reason.REFUSAL: "The model refuses, or writes about itself.",
    Reason.CONTENT_FILTER: "The server's content filter blocks the report or the answer.",
    Reason.CUT: "The answer is cut off at `rewrite.max_tokens` or at the end of the window.",
    Reason.TOOL_CALL: "The model calls a tool instead of answering.",
    Reason.MARKUP: "The answer contains headings, lists or other markup, or unreadable JSON.",
    Reason.IDENTIFYING: "The answer contains a name, a date or a de-identification mark.",
    Reason.COMPARES: "The report of a new patient mentions an earlier image.",
    Reason.CONTRADICTION: "The answer contradicts itself on a finding or on its severity.",
    Reason.UNCHANGED: "No finding is reversed (inter), or nothing changes (intra).",
    Reason.CHANGED_TOO_MUCH: "The intra answer changes too many findings, or leaves one out.",
    Reason.OFF_TARGET: "The answer leaves out the finding that was sampled for it.",
    Reason.CONTEXT_LENGTH: "The instruction and the report do not fit the model's window.",
    Reason.UNREADABLE_ANSWER: "The response is not JSON or UTF-8, too large, or nested too deep.",
    Reason.BACKEND_ERROR: "The language model did not answer within the retries.",
}
"""Reason → description, for the reference pages."""
