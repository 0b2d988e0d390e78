"""Radiologists' word for an image, for patterns over report text only."""

RADIOGRAPH_NOUN = "film"
RADIOGRAPH_NOUNS = "films?"
