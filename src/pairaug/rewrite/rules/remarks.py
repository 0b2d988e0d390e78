"""Sentences that refer to another one, repaired if that was removed.

"This may represent atelectasis" explains an opacity; "the lungs are otherwise clear" excepts one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pairaug.findings import extract
from pairaug.rewrite.rules.wording import tidy

_LEANS = re.compile(
    r"^(?:th(?:is|ese|ose)|they|it|the)(?: \w+)? (?:findings?|opacit\w+|densit\w+|appearances?|"
    r"abnormalit\w+|lesions?)\b|"
    r"^(?:th(?:is|ese|ose)|they|it)(?: most)?(?: likely| probably)? (?:may|might|could|can|is|are|"
    r"was|were|has|have|appears?|suggests?|represents?|reflects?|raises?|remains?)\b"
    r"(?! (?:be )?(?:difficult|hard|(?:not )?possible))|^(?:the )?appearances?\b",
    re.IGNORECASE,
)
_OTHERWISE = re.compile(r"^otherwise,? |,? \botherwise\b", re.IGNORECASE)


def leans_back(sentence: str) -> bool:
    """True for a remark on the finding in the sentence before."""
    return bool(_LEANS.match(sentence))


def without_otherwise(sentences: Sequence[str]) -> list[str]:
    """The sentences, without "otherwise" if no finding is left that it could except."""
    kept: list[str] = []
    for sentence in sentences:
        is_bare = not any(_states(other) for other in (*kept, sentence))
        kept.append(tidy(_OTHERWISE.sub("", sentence)) if is_bare else sentence)
    return kept


def _states(sentence: str) -> bool:
    return any(s.presence != "absent" and s.finding != "no finding" for s in extract(sentence))
