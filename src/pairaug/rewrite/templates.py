"""The instructions for language models, stored as text files, and the messages built from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pairaug.errors import SettingsError
from pairaug.findings import FINDINGS, extract
from pairaug.pair import Branch
from pairaug.rewrite.backends import Request
from pairaug.rewrite.settings import RewriteSettings, WorkedExample
from pairaug.rewrite.topics import changes_between

Message = dict[str, str]

# Characters of a rejected answer to include; an endless answer would fill the window.
_MAX_OF_REJECTED = 4000
_OWN = ("inter", "intra")
_FILES = (*_OWN, "again", "json", "text", "target-inter", "target-intra")
# Descriptions of findings whose names alone are unclear to a language model.
_TARGET_WORDS = {
    "enlarged cardiomediastinum": "a widened mediastinum",
    "lung lesion": "a lung nodule or mass",
    "lung opacity": "a lung opacity",
    "edema": "pulmonary edema",
    "pneumothorax": "a pneumothorax",
    "pleural effusion": "a pleural effusion",
    "pleural other": "pleural thickening",
    "fracture": "a fracture",
    "support devices": "a support device, such as a tube, a line or a pacemaker",
}


@dataclass(frozen=True, slots=True)
class Instructions:
    """The texts by file name, and worked examples; "{max_words}" is filled in."""

    texts: dict[str, str]
    examples: tuple[WorkedExample, ...] = ()

    def messages(self, request: Request, answer_format: Literal["json", "text"]) -> list[Message]:
        """The conversation: instruction, examples, report, and rejected answers with reasons."""
        branch = request.branch.value
        parts = [_fill(self.texts[branch], max_words=request.max_words)]
        if request.target:
            words = _TARGET_WORDS.get(request.target, request.target)
            parts.append(_fill(self.texts[f"target-{branch}"], target=words))
        parts.append(_fill(self.texts[answer_format], findings=", ".join(FINDINGS)))
        messages = [_message("system", "\n".join(parts))]
        for example in self.examples:
            if example.branch == branch:
                messages += [
                    _message("user", example.report),
                    _message("assistant", _as_answer(example, answer_format)),
                ]
        messages.append(_message("user", request.report))
        for rejected in request.rejected:
            if rejected.text:
                messages.append(_message("assistant", rejected.text[:_MAX_OF_REJECTED]))
                messages.append(_message("user", _fill(self.texts["again"], why=rejected.why)))
        return messages

    def fingerprint(self, branch: Branch) -> str:
        """A short hash of the instruction and its examples, for the trace."""
        return self.sha256(branch.value)[:12]

    def sha256(self, branch: str) -> str:
        """The hash of everything in a branch's conversations except the report."""
        shown = [
            (example.report, example.answer)
            for example in self.examples
            if example.branch == branch
        ]
        texts = [text for name, text in sorted(self.texts.items()) if name not in _OWN]
        content = json.dumps([self.texts[branch], texts, shown], ensure_ascii=False)
        return sha256(content.encode()).hexdigest()


def instructions_of(settings: RewriteSettings) -> Instructions:
    """The instructions and examples in the settings."""
    return load_instructions(settings.instructions, settings.examples)


def load_instructions(
    folder: Path | None = None, examples: Sequence[WorkedExample] = ()
) -> Instructions:
    """The packaged instructions, or those in `folder`: inter.txt and intra.txt."""
    packaged = files("pairaug.rewrite").joinpath("instructions")
    texts = {
        name: packaged.joinpath(f"{name}.txt").read_text(encoding="utf-8").strip()
        for name in _FILES
    }
    if folder is not None:
        for name in _OWN:
            path = folder / f"{name}.txt"
            try:
                texts[name] = path.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(
                    f"rewrite.instructions names {folder}, but {path} cannot be read; the folder "
                    "needs inter.txt and intra.txt"
                ) from error
            if not texts[name]:
                raise SettingsError(f"{path} is empty; write the instruction there")
    return Instructions(texts, tuple(examples))


def fold(messages: Sequence[Message]) -> list[Message]:
    """The conversation for a model without system messages: the user's message starts with it."""
    if len(messages) < 2 or messages[0]["role"] != "system":
        return list(messages)
    system, user, *rest = messages
    return [_message("user", f"{system['content']}\n\n{user['content']}"), *rest]


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _as_answer(example: WorkedExample, answer_format: Literal["json", "text"]) -> str:
    if answer_format == "text":
        return example.answer
    changes = changes_between(extract(example.report), extract(example.answer))
    changed = [{"finding": c.finding, "from": c.before, "to": c.after} for c in changes]
    return json.dumps({"report": example.answer, "changes": changed}, ensure_ascii=False)


def _fill(template: str, **values: object) -> str:
    # Not str.format: a template may contain other braces, such as a JSON example.
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", str(value))
    return template
