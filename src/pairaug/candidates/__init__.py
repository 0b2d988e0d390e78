"""Shared by `generate` and `edit`: opening the generator, and choosing among several candidates.

How an image is generated or edited is left to these stages.
"""
