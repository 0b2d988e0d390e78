"""Presence of each finding in a sentence: present, absent or uncertain.

The reader goes over the sentence's terms once, from left to right. A trigger before a finding sets
the scope, which lasts to a break or to a join that starts a new statement (`reach.py`); a trigger
after it sets the presence of the list of findings that ends there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from pairaug.findings import general, reach
from pairaug.findings.lists import Mention, joins, open_alternatives, settle
from pairaug.findings.regions import Regions
from pairaug.findings.scope import Term, Token
from pairaug.findings.statement import Presence

# "54-year-old woman with pneumonia": the patient and the indication.
_PATIENT = re.compile(
    r"\W*(?:(?:this is )?(?:an?|the) )?"
    r"(?:\d{1,3}[\s-]*(?:(?:year|yr|y|month|mo|week|wk|day)s?\b|[mf]\b)|(?:year|yr)s?[\s-]old\b|"
    r"[mf] with\b|"
    r"(?:\w+ )?patient (?:with|who)\b)"
)


@dataclass(slots=True)
class StatementReader:
    """Sets presence, term by term; create one per sentence."""

    text: str
    tokens: list[Token]
    regions: Regions
    scope: Term | None = None
    has_used_scope: bool = False
    history: str | None = None
    clause: list[Mention] = field(default_factory=list)  # since the last break
    earlier: list[Mention] = field(default_factory=list)  # of the clause before
    mentions: list[Mention] = field(default_factory=list)
    since: int = 0  # the term that set the scope
    elided: int | None = None  # the join after a location whose finding comes later
    restart: int = 0  # from this term on, locations are those of stated findings

    def read(self) -> None:
        """Processes all terms."""
        if _PATIENT.match(self.text):
            self.history = "list"
        for index, token in enumerate(self.tokens):
            getattr(self, f"_{token.term.role}")(index, token)
        self._alone()

    @property
    def _presence(self) -> Presence | None:
        return self.scope.presence if self.scope else None

    def _alone(self) -> None:
        """Applies "Unremarkable.", alone in the sentence, to the whole image."""
        state = self.regions.state
        if state is None or state.term.name != "normal" or len(self.tokens) > 1:
            return
        if not re.search(r"\w", self.text[: state.start] + self.text[state.end :]):
            self.regions.add("no finding", "present", state.start, state.end)

    def _finding(self, index: int, token: Token) -> None:
        state = self.regions.state
        self.regions.clear()
        is_device = token.term.name == "support devices"
        if self.history and not (self.history == "post" and is_device):
            return
        presence = token.term.presence or self._presence or "present"
        is_put_in = self.history == "post" and not token.term.presence
        if is_put_in or (self.scope and self.scope.name == "device" and not is_device):
            presence = "present"
        is_open = presence == "present" and (
            (self.scope is None and open_alternatives(self.tokens, self.clause, index))
            or (state is not None and self._is_qualified(state, token))
        )
        if is_open:
            presence = "uncertain"
        self.has_used_scope = True
        is_disease = presence == "absent" and token.term.detail == "disease"
        if is_disease and general.names_chest(
            self.text[self.tokens[self.since].start : token.start]
        ):
            # "No cardiac, pulmonary or pleural disease"
            self._general(index, token._replace(term=Term("general", "no finding")))
        if self.elided is not None and presence == "absent":
            end = self.elided
            self.mentions.append(Mention(end, token, "present", end=end))
            self.elided = None
        for term in (token.term, *token.term.others):
            mention = Mention(index, token._replace(term=term), presence)
            self.clause.append(mention)
            self.mentions.append(mention)

    def _is_qualified(self, state: Token | None, token: Token) -> bool:
        """True for "borderline cardiomegaly" and "normal or mildly enlarged heart"."""
        if state is None:
            return False
        if self.text[state.start : token.start].strip() == "borderline":
            return True
        return state.term.name != "enlarged" and self.regions.is_alternative(state, token)

    def _again(self, index: int, token: Token) -> None:
        """Applies "but a small left one" to the finding named last."""
        if self.mentions and self.tokens[index - 1].term.role == "location":
            self._finding(index, token._replace(term=self.mentions[-1].token.term))

    def _general(self, index: int, token: Token) -> None:
        self.regions.clear()
        if self._presence != "absent" or self.history:
            return
        if general.names_one(self.text, self.tokens, index):
            return
        self.has_used_scope = True
        if token.term.name == "no finding":
            extent = general.extent(self.text, self.tokens[self.since].start, token)
            if extent == "nothing":
                return
            if extent == "bones":
                token = token._replace(term=Term("general", "fracture"))
        if token.term.name != "no finding":
            self.mentions.append(Mention(index, token, "absent", implied=True))
            return
        words = self.text[max(0, token.start - 60) : token.start]
        detail = "acute" if "acute" in words or "active" in words else None
        self.regions.add("no finding", "present", token.start, token.end, detail=detail)

    def _anatomy(self, index: int, token: Token) -> None:
        is_new = index and self.tokens[index - 1].term.role == "join" and self._has_state(index)
        if not self.regions.name(index, token, self._presence) and is_new:
            self.scope = None

    def _has_state(self, index: int) -> bool:
        """True if a remark on the region at `index` follows: a new statement starts here."""
        for token in self.tokens[index + 1 :]:
            if token.term.role not in ("location", "anatomy", "join", "value"):
                return token.term.role == "state"
        return False

    def _state(self, index: int, token: Token) -> None:
        is_free = self.clause and not self.regions.waiting
        is_within = self.text.startswith(("within", "in "), token.start)
        if (
            is_free
            and is_within
            and joins(self.tokens, self.clause[-1].index, index) in ([], [","])
        ):
            # "Vascular engorgement is within normal limits."
            self.clause[-1].presence = "absent"
        if self.regions.remark(index, token, self._presence):
            self.scope = None

    def _before(self, index: int, token: Token) -> None:
        term = token.term
        if term.presence == "absent" and self.clause and reach.is_answer(self.text, token):
            settle(self.tokens, self.clause, index, replace(term, name="answer"))
            return  # "effusion: no, edema: yes"
        is_denied = self._presence == "absent"
        if term.name == "any" and (is_denied or self.history):
            return
        if term.name in ("change", "resolution") and is_denied and not self.has_used_scope:
            self._set_scope(index, Term("before", "change", presence="present"))
            return
        if term.name == "change":
            return
        # "No opacity to suggest pneumonia" stays denied, not "no effusion, possible pneumonia".
        is_same_list = index > 0 and self.tokens[index - 1].term.role != "join"
        if term.presence == "uncertain" and is_denied and is_same_list:
            return
        if term.presence == "absent":
            self.history = None
        if (
            term.presence == "absent"
            and not self.mentions
            and reach.is_elided(self.text, self.tokens, index)
        ):
            self.elided = index - 1
        self._set_scope(index, term)
        self.regions.state = None

    def _set_scope(self, index: int, term: Term) -> None:
        self.scope, self.has_used_scope, self.since = term, False, index

    def _after(self, index: int, token: Token) -> None:
        """Applies the trigger to the list of findings that ends here."""
        name, presence = token.term.name, token.term.presence
        if presence == "absent":
            for region in self.regions.waiting:
                if region.term.name == "angles":
                    self.regions.add("pleural effusion", "uncertain", region.start, region.end)
        if not self.clause and presence == "absent" and reach.is_heading(self.tokens, index):
            self._set_scope(index, replace(token.term, role="before"))  # "Not seen: effusion"
        if not self.clause and presence == "uncertain" and not name:
            self._reopen(index, token)
        if not self.clause:
            return
        last = self.clause[-1]
        if last.is_device and reach.is_of_a_part(self.text, last.token.end, token):
            return
        if name == "device" and presence == "absent" and reach.is_replaced(self.text, token):
            return
        if name == "none" and not reach.is_whole(self.text, token):
            return  # "left effusion, none on the right"
        if name == "elsewhere":
            if not reach.is_elsewhere(self.text, token):
                return
        elif presence != "present" and reach.is_of_another_view(self.text, token):
            return
        if presence == "present":
            # "No edema, the effusion has not changed" excludes the effusion from the denial.
            if last.presence == "absent" and self._is_next_to(last, index):
                last.presence = "present"
        else:
            settle(self.tokens, self.clause, index, token.term)

    def _reopen(self, index: int, token: Token) -> None:
        """Leaves open what is "unlikely, but cannot be ruled out"."""
        if (
            self.earlier
            and self.earlier[-1].presence == "absent"
            and reach.is_of_the_same(self.text, self.tokens[index - 1], token)
        ):
            settle(self.tokens, self.earlier, index, replace(token.term, name="excluded"))

    def _is_next_to(self, mention: Mention, index: int) -> bool:
        return not joins(self.tokens, mention.index, index)

    def _either(self, index: int, token: Token) -> None:
        name = token.term.name
        if name == "versus":  # both sides are open
            if self.clause and self.clause[-1].presence == "present":
                self.clause[-1].presence = "uncertain"
            self._set_scope(index, token.term)
        elif name == "withdrawn":
            if self.clause and not reach.is_only_moved(self.text, self.clause[-1].token.end, token):
                self._after(index, token._replace(term=replace(token.term, name="device")))
        elif not self.clause or reach.is_followed(self.tokens, index):
            self._before(index, token)
        elif (
            token.term.presence == "absent"
            or name == "limit"
            or reach.stands_alone(self.text, self._last_end(index), token)
        ):
            self._after(index, token)

    def _last_end(self, index: int) -> int:
        """End of the last finding, with the locations after it."""
        end = self.clause[-1].token.end
        for token in self.tokens[self.clause[-1].index + 1 : index]:
            if token.term.role == "location":
                end = token.end
        return end

    def _question(self, index: int, token: Token) -> None:
        is_before = token.start == 0 or self.text[token.start - 1] in " (/,?"
        if is_before and any(t.term.role == "finding" for t in self.tokens[index + 1 :]):
            self._before(index, token)
            return
        for mention in self.mentions:
            mention.presence = reach.answer(self.text, token)

    def _answer(self, index: int, token: Token) -> None:
        """Applies to the list before it; a box before all findings applies to the next one."""
        if token.term.name == "box" and self._has_boxes_first():
            self._break(index, token)
            self._set_scope(index, replace(token.term, role="before"))
        elif self.clause:
            settle(self.tokens, self.clause, index, token.term)

    def _has_boxes_first(self) -> bool:
        roles = (token.term.role for token in self.tokens)
        return next(role for role in roles if role in ("answer", "finding")) == "answer"

    def _value(self, index: int, token: Token) -> None:
        presence = reach.value(self.text, token)
        if self.clause and not self.history and presence:
            settle(self.tokens, self.clause, index, Term("after", presence=presence))

    def _location(self, index: int, token: Token) -> None:
        pass

    def _join(self, index: int, token: Token) -> None:
        name = token.term.name
        if self.history and name in (",", "with", "and"):
            is_over = self.history != "list" and name != "and"
            if is_over or reach.starts_statement(self.text, self.tokens, index, graded=True):
                self.history = None
        if self.scope is None or name in ("or", "/"):
            return
        if not self.has_used_scope and self._is_waiting(index, token):
            return
        if reach.ends_in_or(self.tokens, index):
            return
        if name == "with" or reach.starts_statement(self.text, self.tokens, index):
            self.scope = None

    def _is_waiting(self, index: int, token: Token) -> bool:
        """True if the scope continues past a join to a finding that it has not reached yet."""
        assert self.scope is not None
        if self.scope.name == "not" or reach.gives_up(self.text, self.tokens, self.since, index):
            self._give_up(index)
            return True
        # "No hernia, small effusion": it was about something that is not a finding here.
        # "No tension with the pneumothorax" has one.
        is_with = token.term.name == "with" and not reach.is_definite(self.text, token)
        return is_with or not reach.has_other_words(self.text, self.tokens, self.since, index)

    def _give_up(self, index: int) -> None:
        """Ends a denial without a finding: its locations do not belong to what follows."""
        if self._presence == "absent" and not self.has_used_scope and not self.clause:
            self.restart = index + 1
        self.scope = None

    def _break(self, index: int, token: Token) -> None:
        if token.term.name == "otherwise":
            self.scope = None
            return  # "the lungs are otherwise clear" is still about the lungs
        if token.term.name == "but":
            self._give_up(index)
        self.scope = None
        self.history = None
        self.earlier = self.clause or self.earlier
        self.clause = []
        self.regions.clear()

    def _history(self, index: int, token: Token) -> None:
        self.history = token.term.name

    def _cause(self, index: int, token: Token) -> None:
        self.history = None
        if self.scope and self.scope.name == "limit":
            self.scope = None

    def _ignore(self, index: int, token: Token) -> None:
        pass
