"""Triggers: words that deny, doubt or confirm the findings before or after them, or exclude them.

Templates for `trie.expand`; hyphens, apostrophes and the slash in "r/o" count as spaces, and "~" is
an optional filler word ("cannot be totally excluded"). Each table is name → presence → templates.
`presence.py` implements the names, and the end of each trigger's scope.
"""

from __future__ import annotations

from pairaug.findings.statement import Presence

Table = dict[str, dict[Presence, tuple[str, ...]]]

_CANNOT = "(can not|cannot|could not|can t|couldn t|may not|would not)"
_IS_N_T = "(isn|aren|wasn|weren|hasn|haven|don|doesn|didn) t"
_EXCLUDED = "(excluded|ruled out|discounted|dismissed)"
_EXCLUDE = "(exclude|rule out|discount|dismiss)"
_HAS = "(has|have|had)"
_IS = "(is|are|was|were)"
_BE = "(is|are|was|were|has|have|had)"
_HAS_NOT = "(has not|have not|had not|did not|does not|hasn t|haven t|didn t)"
_IS_NOT = "(is not|are not|was not|were not|isn t|aren t)"
_SEEN = (
    "(seen|identified|present|visualized|visualised|visible|appreciated|demonstrated|evident|"
    "noted|detected|observed|found|apparent|recognized|discernible)"
)
_JUDGED = (
    "(seen|identified|visualized|visualised|evaluated|assessed|appreciated|characterized|imaged|"
    "demonstrated|delineated|defined|depicted|shown|inspected|judged)"
)
_JUDGE = (
    "(identify|see|detect|exclude|rule out|assess|evaluate|visualize|visualise|appreciate|"
    "discern|determine|recognize|characterize|differentiate|distinguish|delineate|confirm)"
)
_CHANGE = (
    "(increase|decrease|worsening|improvement|progression|enlargement|reduction|diminution|"
    "growth|extension|difference|change)"
)
_CHANGED = (
    "(changed|change|resolved|resolve|cleared|clear|improved|improve|increased|increase|"
    "decreased|decrease|worsened|progressed|enlarged|grown|disappeared)"
)
_REMOVED = "(removed|withdrawn|retracted|pulled|extracted|discontinued)"

BEFORE: Table = {
    "": {
        "absent": (
            "(no|without|w o|nor|neither|lack of|lacks|lacking|absence of|negative for|nothing)",
            "no longer (any|an|a)",
            "neither (lung|lungs|side|hemithorax|base|apex) ~"
            "(show|shows|has|have|contain|contains|demonstrate|demonstrates)",
            "(free of|free from|clear of|cleared of|clear from|devoid of|non visualization of)",
            "(does not|do not|did not|doesn t|don t|didn t) ~"
            "(show|demonstrate|reveal|have|contain|see|identify|support)",
            "(fails|failed) to (show|demonstrate|reveal|identify)",
            "(not consistent|not compatible|not in keeping|inconsistent|incompatible) with",
            "(simulating|simulates|mimicking|mimics|mimic|mistaken for)",
            "(rather than|instead of|as opposed to|excludes|excluding|ruling out|argues against)",
        ),
        "uncertain": (
            "(may|might|could|maybe|perhaps|suspect|suspects|query|queried)",
            "would (represent|reflect|suggest|favor|indicate|support|fit|raise)",
            f"{_CANNOT} ~[be ~]({_EXCLUDE}|{_EXCLUDED}|differentiate)",
            f"{_CANNOT} ~be ~(distinguished|differentiated) from",
            f"(unable|impossible|not possible) to ~({_EXCLUDE}|differentiate)",
            f"(does|do|did|would) not ~{_EXCLUDE}",
            "(not|without) ~(excluded|excluding|ruling out|ruled out)",
            "(not without|no more than|not more than)",
            "(suspicious|suspicion|concern|concerning|worrisome|concerns|worry) (for|of|about)",
            "(suggest|suggests|suggesting|suggestive of|suggestion of)",
            "(possibility|question|likelihood|probability|risk|chance) of",
            "(question|indeterminate for|nonspecific for|differential|considerations|consider)",
            "consideration (of|to|for)",
            "(favor|favors|favoring|favored|favour|favours|favouring|favoured)",
            "(thought|felt|believed) to (represent|be|reflect|relate|indicate)",
            "(whether|unclear if|uncertain if|doubtful (if|that|whether)) "
            "[there is|there are|there was]",
        ),
        "present": (
            "(partial|partially|near|nearly|incomplete|incompletely|almost|near complete|"
            "nearly complete|gradual|marked|some|slight|significant) ~"
            "(resolution of|regression of|resolved|clearance of|cleared|clearing of)",
            "(no doubt|undoubtedly|unresolved)",
            "(no|without) [significant|interval|significant interval|appreciable] "
            "(change|changes) (in|of|to)",
            # Advice on a device: it is still there.
            "(consider|recommend|suggest|advise|recommending) [the|a|its] [partial|slight] "
            "(removal|withdrawal|retraction|repositioning) of",
        ),
    },
    # Uncertain only if the finding is not denied already ("without any effusion").
    "any": {"uncertain": ("any [residual|remaining|associated]",)},
    # A denied change does not deny the finding: "no interval increase in the effusion".
    "change": {
        "present": (
            f"{_CHANGE} (in|to|of)",
            "changes in",
            "(interval|significant|appreciable) (change|changes) (of|from|to)",
        ),
    },
    # Nor does a denied resolution: "no resolution of the effusion".
    "resolution": {
        "absent": (
            "[complete|interval|complete interval] (resolution|clearance|disappearance) (of|in)",
            "[complete|interval|complete interval] clearing of",
        )
    },
    # "Not small, atelectasis": the denial covers only the next word.
    "not": {"absent": ("(not|never)", _IS_N_T)},
    # Of devices alone.
    "device": {"absent": ("[interval] (removal|extraction|explantation) of",)},
}

AFTER: Table = {
    "": {
        "absent": (
            f"(not|no longer|isn t|aren t|wasn t|weren t) ~{_SEEN}",
            f"(not|never) been ~{_SEEN}",
            f"{_HAS} ~(resolved|cleared|disappeared)",
            f"{_IS} ~(resolved|absent|gone)",
            f"{_HAS_NOT} ~(recurred|recur|reaccumulated|reaccumulate|returned|return|"
            "reappeared|reappear|developed|develop|accumulated|formed|occurred)",
        ),
        "uncertain": (
            f"{_CANNOT} ~[be ~]{_EXCLUDED}",
            f"[{_IS} ][considered|felt|thought|very|highly] (unlikely|improbable) "
            f"(but|though|although|yet) {_CANNOT} [be] {_EXCLUDED}",
            f"[{_BE} ]not [been ]~{_EXCLUDED}",
            "(may|might|could|would|must|should) ~"
            "(be|exist|coexist) ~(present|seen|there|considered|superimposed|"
            "obscured|missed|occult|hidden|masked|possible|suspected|underestimated|likely)",
            "(may|might|could|would) ~(exist|coexist|have this appearance)",
            "(likely|probably|presumably|possibly) ~(present|exists|exist|coexists)",
            "(is|are|remains|remain) (a|the|one|another) [diagnostic|differential] "
            "(consideration|possibility|concern|question)",
            "(in the differential|of concern|in question)",
            f"{_IS} ~(questioned|considered)",
        ),
        "present": (
            f"{_HAS_NOT} [been ]~{_CHANGED}",
            f"{_IS_NOT} ~(changed|resolved|cleared|improved|worsened|absent|gone)",
            f"{_BE} (almost|nearly|partially|partly|incompletely|mostly|not completely) "
            "(resolved|cleared)",
            "(has|have|is|are) (resolving|improved|improving|decreased|decreasing)",
            "(failed|fails) to (resolve|clear)",
            "(persists|persist|remains stable|remains unchanged|is unchanged|is stable)",
        ),
    },
    "none": {"absent": ("(none|nil)",)},
    # About the view, not the finding; a device whose tip is out of view is still present.
    "view": {
        "uncertain": (
            "(not [well|clearly|adequately|fully|optimally|reliably|readily]|poorly|suboptimally|"
            "inadequately|incompletely) (evaluated|assessed|characterized|imaged|delineated)",
            f"(not (well|clearly|adequately|fully|optimally|reliably|readily)|poorly|"
            f"suboptimally|inadequately|incompletely) {_JUDGED}",
            f"{_CANNOT} ~[be ~]({_JUDGED}|confirmed|determined)",
        )
    },
    # If another examination follows: "better seen on CT".
    "elsewhere": {"uncertain": (f"(better|best|more completely) {_JUDGED}",)},
    # Of devices alone.
    "device": {
        "absent": (
            "(removal|removed|discontinued)",
            f"{_BE} [been ]~(removed|discontinued)",
            f"{_BE} [now|already] out",
            f"({_BE} [been ]|has |have )(taken|come|fallen|pulled) out",
        ),
        "present": (
            f"(may|might|could|can|should|must|to|need|needs|ought) [to] be {_REMOVED}",
            f"{_HAS} not been {_REMOVED}",
        ),
    },
}

# About the next finding if it follows directly, else about the one before.
EITHER: Table = {
    "": {
        "absent": ("(resolved|absent)",),
        "uncertain": (
            "(suggested|possible|possibly|probable|probably|questionable|suspected|equivocal|potential|"
            "potentially|presumed|presumably|presumptive|presumptively|conceivable|doubtful)",
            "[most|very|more|quite|also|highly] likely",
            "(less likely|less probable|low suspicion for|low likelihood of|low probability of)",
            "(may|might|could|would) ~be",
            "not (impossible|unlikely|improbable|inconceivable)",
        ),
    },
    "excluded": {
        "absent": (
            "(excluded|ruled out|unlikely|not likely|improbable)",
            f"{_HAS} been (excluded|ruled out)",
            f"{_IS} [now|considered|felt|thought|very|highly|felt to be] "
            "(excluded|ruled out|unlikely|improbable)",
        )
    },
    "withdrawn": {"absent": ("withdrawn", f"{_BE} [been ]~withdrawn")},
    "versus": {"uncertain": ("(versus|vs)",)},
    # A limited view leaves the finding open.
    "limit": {
        "uncertain": (
            f"(difficult|hard|challenging|impossible|not possible) to ~{_JUDGE}",
            f"{_CANNOT} ~be ~{_JUDGED} for",
            "(if any|if present|if there is any|if there are any)",
        )
    },
}

# What follows is not about this image. A list after "history" continues at a comma, one after
# "aside" does not, and a device of "post" is present: "status post pacemaker placement".
HISTORY: dict[str, tuple[str, ...]] = {
    "list": (
        "[past|known|prior|previous|remote|medical|clinical|a] (history|hx) of",
        "(h o|treated for|diagnosed with|treatment for|therapy for)",
        "(evaluate|assess|reassess|eval) [for|of]",
        "(evaluation|assessment|looking|look|screening|check|checking) (for|of)",
        "(rule out|exclude|to exclude|to rule out|r o|please exclude)",
    ),
    "aside": (
        "(follow up|followup|f u|surveillance) [for|of]",
        "[the] (detection|visualization|detecting) [of]",
        "(sensitivity|insensitive|sensitive) (for|to|in) [detect|detecting|the detection of]",
        "[clinical] (correlation|correlate) [clinically] (for|with)",
        "clinical (concern|suspicion|question|evidence|signs|diagnosis|symptoms) (for|of)",
        "(symptoms|signs and symptoms) of",
        "(ensure|document|confirm|verify|until|allow) [complete|interval] "
        "(resolution|clearing|clearance) [of]",
        "if [there is|there are|clinically there is] [any] [clinical] [a] "
        "[concern for|suspicion for|suspicion of]",
    ),
    "post": ("(status post|s p)",),
}
# These end an aside: "evaluation of the base is limited by an effusion".
CAUSES = (
    "(due to|because of|secondary to|owing to|caused by|limited by|obscured by|on account of)",
)
# So do these: "history of cough, now with effusion".
NOW = ("(now|currently|today)",)
