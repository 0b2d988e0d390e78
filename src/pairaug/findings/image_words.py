"""Radiologists' own words for an image, which patterns over reports need and the code does not use."""

RADIOGRAPH_NOUN = "film"
RADIOGRAPH_NOUNS = "films?"
