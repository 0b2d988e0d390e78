"""Templates and the pattern made of their phrases."""

from __future__ import annotations

import re

import pytest

from pairaug.findings.scope import _phrases, term_pattern, terms
from pairaug.findings.trie import expand, pattern_of, without_fillers


def test_choices_and_options_nest():
    assert expand("[pleural] effusion[s]") == [
        "effusion", "effusions", "pleural effusion", "pleural effusions",
    ]  # fmt: skip
    assert expand("(a|b [c|d]) e") == ["a e", "b e", "b c e", "b d e"]


@pytest.mark.parametrize("template", ["(a", "a)", "[a"])
def test_unbalanced_template_raises(template: str):
    with pytest.raises(AssertionError, match="unbalanced"):
        expand(template)


def test_the_longest_phrase_wins_and_words_are_whole():
    pattern = re.compile(pattern_of(["edema", "edema of the lung", "ed"]))
    assert pattern.findall("edema of the lung") == ["edema of the lung"]
    assert pattern.findall("edema of the heart") == ["edema"]
    assert pattern.findall("edematous") == []


def test_spaces_in_a_phrase_match_hyphens_and_line_breaks():
    pattern = re.compile(pattern_of(["ground glass"]))
    assert pattern.findall("ground-glass ground\n glass ground  glass groundglass") == [
        "ground-glass", "ground\n glass", "ground  glass",
    ]  # fmt: skip


def test_every_phrase_of_the_lexicon_is_matched_whole():
    for phrase in terms():
        match = term_pattern().match(phrase)
        assert match is not None, phrase
        assert match.group() == phrase


def test_filler_words():
    pattern = re.compile(pattern_of(["can be ~excluded", "can be", "can be excluded here"]))
    for phrase in ("can be excluded", "can be totally excluded", "can be fully excluded here"):
        match = pattern.match(phrase)
        assert match is not None
        assert match.group() == phrase
    assert without_fillers("can be totally excluded") == "can be excluded"
    assert pattern.findall("can be blindly excluded") == ["can be"]


def test_without_fillers():
    for phrase in (phrase for phrase in _phrases() if "~" in phrase):
        bare = phrase.replace("~", "")
        assert without_fillers(bare) == bare
        assert bare in terms()
