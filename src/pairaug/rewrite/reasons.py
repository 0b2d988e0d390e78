"""Why a report or its rewrite is dropped: the one list of reasons of this stage."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A reason for which a pair leaves the run at `rewrite`."""

    # Of a real pair.
    EMPTY_REPORT = "empty_report"
    REPORT_TOO_SHORT = "report_too_short"
    # Of a child, before anything is asked.
    REPORT_NOT_ENGLISH = "report_not_english"
    NOTHING_TO_CHANGE = "nothing_to_change"
    # Of a child, for the last of its answers.
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
    # Of a child that no answer came for.
    CONTEXT_LENGTH = "context_length"
    UNREADABLE_ANSWER = "unreadable_answer"
    BACKEND_ERROR = "backend_error"


MEANINGS: dict[Reason, str] = {
    Reason.EMPTY_REPORT: "The pair has no report text.",
    Reason.REPORT_TOO_SHORT: "The report has fewer words than `rewrite.min_words`.",
    Reason.REPORT_NOT_ENGLISH: "The report is not in English, so nothing could check its rewrite.",
    Reason.NOTHING_TO_CHANGE: "The report says nothing of any finding on this image.",
    Reason.EMPTY_ANSWER: "The answer has no text, only thoughts, or states no finding.",
    Reason.ANSWER_NOT_ENGLISH: "The answer is not in English.",
    Reason.TOO_LONG: "The answer has more words than `rewrite.max_words`.",
    Reason.REFUSAL: "The answer declines or speaks of itself.",
    Reason.CONTENT_FILTER: "A filter of the server refuses the report or the answer.",
    Reason.CUT: "The answer ends at `rewrite.max_tokens`, or where the model's window ends.",
    Reason.TOOL_CALL: "The model calls a tool instead of answering.",
    Reason.MARKUP: "The answer holds headings, lists or other markup, or unreadable JSON.",
    Reason.IDENTIFYING: "The answer holds a name, a date or a de-identification mark.",
    Reason.COMPARES: "A new patient's report speaks of an earlier image.",
    Reason.CONTRADICTION: "The answer states and denies a finding, or calls it slight and severe.",
    Reason.UNCHANGED: "No stated finding is reversed (inter), or nothing changes (intra).",
    Reason.CHANGED_TOO_MUCH: "An intra answer changes too many findings, or leaves one out.",
    Reason.OFF_TARGET: "The answer leaves out the finding that was sampled for it.",
    Reason.CONTEXT_LENGTH: "The instruction and the report do not fit the model's window.",
    Reason.UNREADABLE_ANSWER: "No answer could be read: no JSON, too large, not UTF-8, or deep.",
    Reason.BACKEND_ERROR: "The language model gave no answer within the retries.",
}
"""What each reason means, for the reference pages."""
