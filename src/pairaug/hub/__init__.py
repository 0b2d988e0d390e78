"""Where pretrained models come from, and how they are opened: folders, the hub, strict weights.

Nothing here knows one kind of model from another; `diffusion`, `clip` and their like say which
files and classes they need.
"""
