"""Records a model's answers, and replays them without the model.

One line of JSON per answer, with the hash of the report and the text of the answer.
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
    values: dict[str, Any] = {"failure": failure.reason.value, "why": failure.why}
    return values | ({"again": True, "text": failure.text} if failure.again else {})


def failure_in(found: Mapping[str, Any]) -> Failure:
    """The failure from plain values. Raises `ValueError` or `KeyError` for other values."""
    text = str(found.get("text", ""))
    return Failure(str(found["why"]), Reason(found["failure"]), bool(found.get("again")), text)


class Recorder:
    """Appends every answer to a file that only its owner can read."""

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
        """Record a model's answer, or its failure."""
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
    """An index of the answers in a recording, which can be larger than memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offsets: dict[_Key, int] = {}
        digest, offset = sha256(), 0
        try:
            with path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    digest.update(line)
                    # Of two lines for one request, the later one counts: it is from a later run.
                    self.offsets[self._key_in(number, line)] = offset
                    offset += len(line)
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
            # Not chained: the decoder's error contains the line, with report text.
            raise SettingsError(
                f"rewrite.recording {self.path}: line {number} is not a recorded answer"
            ) from None


class Replay:
    """Replays recorded answers; fails for requests that were not recorded."""

    name = "replay"
    concurrency = 1
    seeds_by: Literal["pair", "report"] = "report"

    def __init__(self, recording: Recording, findings: Sequence[str]) -> None:
        self.model = f"recording-{recording.sha256[:12]}"
        self.findings = frozenset(findings)
        self._offsets = recording.offsets
        self._file = recording.path.open("rb")

    async def answer(self, request: Request) -> Answer | Failure:
        offset = self._offsets.get(_key(request))
        if offset is None:
            return Failure("the recording has no answer to it")
        self._file.seek(offset)
        found = parse_json(self._file.readline())
        if "answer" in found:
            return read_answer(str(found["answer"]))
        return failure_in(found)

    def instruction_hash(self, branch: Branch) -> None:
        """None: a recording has no instruction."""

    def spent(self) -> str:
        """Empty: the answers are already paid for."""
        return ""

    async def close(self) -> None:
        self._file.close()
