"""An edit's two prompts compared: what rewriting asked for, and what the prompts differ by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from pairaug.edit import Edit
from pairaug.edit.sampler import EditRequest
from pairaug.findings import extract
from pairaug.findings.sentences import sentences
from pairaug.pair import Branch, Pair
from pairaug.rewrite import Rewrite, RewriteSettings
from pairaug.rewrite.topics import AIRSPACE, changes_between, topic_of
from pairaug.stage import RunContext


def requests(edit: Edit, pairs: Iterable[Pair], seed: int = 0) -> Iterator[EditRequest]:
    """The edits that the rules make of real pairs, with the prompts that `edit` gives them."""
    settings = RewriteSettings(backend="rules", branches=("intra",))
    sources: dict[str, Pair] = {}
    for pair in Rewrite(settings, RunContext(seed=seed))(pairs):
        if pair.branch is Branch.REAL:
            sources[pair.id] = pair
        elif pair.drop is None:
            request = edit._request(pair, sources)
            assert isinstance(request, EditRequest), request.drop
            yield request


@dataclass(frozen=True, slots=True)
class Difference:
    """What one prompt has and the other has not, as sentences."""

    gone: tuple[str, ...]
    new: tuple[str, ...]


def difference(before: str, after: str) -> Difference:
    """The sentences that only one of two texts has."""
    one, other = _sentences(before), _sentences(after)
    matched = SequenceMatcher(a=one, b=other, autojunk=False).get_opcodes()
    changed = [code for code in matched if code[0] != "equal"]
    return Difference(
        tuple(text for _, start, end, _, _ in changed for text in one[start:end]),
        tuple(text for _, _, _, start, end in changed for text in other[start:end]),
    )


def num_different(one: Sequence[int], other: Sequence[int]) -> int:
    """How many items of two sequences are not in both."""
    blocks = SequenceMatcher(a=one, b=other, autojunk=False).get_matching_blocks()
    return len(one) + len(other) - 2 * sum(block.size for block in blocks)


def is_cut_apart(request: EditRequest) -> bool:
    """True where one prompt was shortened while a sentence of both could have left both.

    Of an edit that changes every sentence, none stands in both: a side that is too long is then
    shortened by itself.
    """
    before, after = _sentences(request.source_prompt.text), _sentences(request.prompt.text)
    left_out = [
        p.left_out_sentences - p.left_out_of_both for p in (request.source_prompt, request.prompt)
    ]
    is_shared = any(text in after for text in before) and min(len(before), len(after)) > 1
    return any(left_out) and is_shared


def asked(request: EditRequest) -> list[dict[str, object]]:
    """What the trace says that rewriting changed."""
    return list(request.pair.trace["rewrite"]["changes"])


def found(request: EditRequest) -> list[dict[str, str | None]]:
    """What the two prompts change, read from them."""
    before, after = extract(request.source_prompt.text), extract(request.prompt.text)
    return [change.as_json() for change in changes_between(before, after)]


def unasked(request: EditRequest) -> list[str]:
    """Sentences that only one prompt has although nothing in them was to change.

    A sentence that states what changes may go or come, and so may "no acute disease". Of one that
    lists other things too, the rest must still be said: its statements must be on the other side.
    """
    told = {str(change["finding"]) for change in asked(request)}
    told |= {"consolidation"} if told & set(AIRSPACE) else set()
    before, after = request.source_prompt.text, request.prompt.text
    apart = difference(before, after)
    sides = [(text, after) for text in apart.gone] + [(text, before) for text in apart.new]
    return [text for text, other in sides if not _may_differ(text, other, told)]


def _may_differ(text: str, other: str, told: set[str]) -> bool:
    own = extract(text)
    if any(s.finding == "no finding" or {s.finding, topic_of(s).finding} & told for s in own):
        return True
    said = {(topic_of(s), s.presence) for s in extract(other)}
    return bool(own) and all((topic_of(s), s.presence) in said for s in own)


def _sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]
