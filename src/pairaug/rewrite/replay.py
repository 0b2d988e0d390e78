"""Answers written down with what they answered, and given again without the model that gave them.

One line of JSON for each answer; a report is known by its hash, an answer is there as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TextIO

from pairaug.errors import SettingsError
from pairaug.pair import Branch
from pairaug.rewrite.backends import Answer, Failure, Request
from pairaug.rewrite.reasons import Reason
from pairaug.rewrite.structured import read_answer
from pairaug.system.json_text import parse_json

_Key = tuple[str, str, int, int]


def _key(request: Request) -> _Key:
    report = sha256(request.report.encode()).hexdigest()
    return report, request.branch.value, request.variant, request.attempt


def as_json(failure: Failure) -> dict[str, Any]:
    """A failure as plain values, for a recording and for the cache."""
    told: dict[str, Any] = {"failure": failure.reason.value, "why": failure.why}
    return told | ({"again": True, "text": failure.text} if failure.again else {})


def failure_in(found: Mapping[str, Any]) -> Failure:
    """The failure in plain values. Raises `ValueError` or `KeyError` for other values."""
    text = str(found.get("text", ""))
    return Failure(str(found["why"]), Reason(found["failure"]), bool(found.get("again")), text)


class Recorder:
    """Adds every answer to a file, which only its owner can read."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.touch(mode=0o600)
            self._file: TextIO = path.open("a", encoding="utf-8")
        except OSError as error:
            raise SettingsError(
                f"rewrite.record cannot be written at {path}: {error.strerror}; name another file"
            ) from error

    def add(self, request: Request, outcome: str | Failure) -> None:
        """Write down what a model answered, or why it did not."""
        report, branch, variant, attempt = _key(request)
        line: dict[str, Any] = {
            "report": report, "branch": branch, "variant": variant, "attempt": attempt,
        }  # fmt: skip
        if isinstance(outcome, Failure):
            line |= as_json(outcome)
        else:
            line["answer"] = outcome
        # One write, so that several processes may share the file.
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Recording:
    """Where each answer begins in a recorded file, which can be larger than the memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places: dict[_Key, int] = {}
        digest, place = sha256(), 0
        try:
            with path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    digest.update(line)
                    # Of two lines for one request the later counts: it is of a later run.
                    self.places[self._key_in(number, line)] = place
                    place += len(line)
        except OSError as error:
            raise SettingsError(
                f"rewrite.recording cannot be read at {path}: {error.strerror}"
            ) from error
        self.sha256 = digest.hexdigest()

    def _key_in(self, number: int, line: bytes) -> _Key:
        try:
            found = dict(parse_json(line))
            if "answer" not in found:
                failure_in(found)
            return (
                str(found["report"]), str(found["branch"]), int(found["variant"]),
                int(found["attempt"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, OverflowError):
            # Not chained: the decoder's error carries the line, which holds a report.
            raise SettingsError(
                f"rewrite.recording {self.path}: line {number} is no recorded answer"
            ) from None


class Replay:
    """Gives the recorded answers again; what was not recorded has none."""

    name = "replay"
    concurrency = 1
    seeds_by: Literal["pair", "report"] = "report"

    def __init__(self, recording: Recording, findings: Sequence[str]) -> None:
        self.model = f"recording-{recording.sha256[:12]}"
        self.findings = frozenset(findings)
        self._places = recording.places
        self._file = recording.path.open("rb")

    async def answer(self, request: Request) -> Answer | Failure:
        place = self._places.get(_key(request))
        if place is None:
            return Failure("the recording has no answer to it")
        self._file.seek(place)
        found = parse_json(self._file.readline())
        if "answer" in found:
            return read_answer(str(found["answer"]))
        return failure_in(found)

    def instruction_hash(self, branch: Branch) -> None:
        """A recording follows none."""

    def spent(self) -> str:
        """Nothing: it is paid for."""
        return ""

    async def close(self) -> None:
        self._file.close()
