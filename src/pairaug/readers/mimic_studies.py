"""Studies of MIMIC-CXR whose reports the general rules cannot split.

The dataset's authors list them in `custom_mimic_cxr_rules` of their section_parser.py (MIT-LCP,
MIT license): some have their findings under the heading of another section; for others the authors
noted the character range by hand. The numbers are study ids and positions in the text only.
"""

from __future__ import annotations

# Heading in its common form → studies with their findings under it.
_UNDER = {
    "recommendations": "50913680 59768032 59067458 59087630 58157373 56482935 58375018",
    "examination": "59363654 53356173 50743547 59215320 55157853",
    "technique": "59279892 53202765 50808053",
    "indication": "57936451 50058765 51966317 55124749 54365831 54654948",
    "note": "56451190",
    "history": "51491012",
}
SECTION_OF = {int(study): name for name, studies in _UNDER.items() for study in studies.split()}
"""Study → the section with its findings."""

# study:start:end, half-open, in characters of the report with "\n" as line end.
_RANGES = """
50525523:201:349 57564132:233:554 59982525:313:717 53488209:149:475 54875119:234:988
50196495:59:399 56579911:59:218 52648681:292:631 59889364:172:453 53514462:73:377
59505494:59:450 53182247:59:412 51410602:47:320 56412866:522:822 54986978:59:306
59003148:262:505 57150433:61:394 56760320:219:457 59562049:158:348 52674888:145:296
55258338:192:568 59330497:140:655 52119491:179:454
58235663:0:0 50798377:0:0 54168089:0:0 53071062:0:0 56724958:0:0 54231141:0:0 53607029:0:0
52035334:0:0
"""
RANGE_OF = {
    study: (start, end)
    for study, start, end in (map(int, each.split(":")) for each in _RANGES.split())
}
"""Study → range of its findings; empty: the report has none."""
