"""Latent diffusion: models, schedules, sampling, inversion and prompt-to-prompt edits on arrays.

Importing this package loads no tensor library; its modules do.
"""
