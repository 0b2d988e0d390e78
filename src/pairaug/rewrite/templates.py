"""The instructions that language models get, kept as text files, and the messages made of them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from pairaug.errors import SettingsError
from pairaug.pair import Branch
from pairaug.rewrite.backends import Request

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Instructions:
    """One instruction for each branch, and the words that ask again; "{max_words}" is filled in."""

    inter: str
    intra: str
    again: str

    def messages(self, request: Request) -> list[Message]:
        """The conversation: instruction, report, and each rejected answer with what was wrong."""
        instruction = self.inter if request.branch is Branch.INTER else self.intra
        messages = [
            {"role": "system", "content": _filled(instruction, max_words=request.max_words)},
            {"role": "user", "content": request.report},
        ]
        for rejected in request.rejected:
            if rejected.text:
                messages.append({"role": "assistant", "content": rejected.text})
                messages.append({"role": "user", "content": _filled(self.again, why=rejected.why)})
        return messages

    def fingerprint(self, branch: Branch) -> str:
        """A short hash of the instruction, for the trace."""
        text = self.inter if branch is Branch.INTER else self.intra
        return sha256(text.encode()).hexdigest()[:12]


def load_instructions(folder: Path | None = None) -> Instructions:
    """The packaged instructions, or those of `folder`, which must hold inter.txt and intra.txt."""
    packaged = files("pairaug.rewrite").joinpath("instructions")
    texts = {
        name: packaged.joinpath(f"{name}.txt").read_text(encoding="utf-8").strip()
        for name in ("inter", "intra", "again")
    }
    if folder is not None:
        for name in ("inter", "intra"):
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
    return Instructions(**texts)


def _filled(template: str, **values: object) -> str:
    # Not str.format: a template may hold braces of its own, such as a JSON example.
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", str(value))
    return template
