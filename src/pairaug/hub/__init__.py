"""Sources and loading of pretrained models: folders, the hub, strict weights.

Independent of the kind of model: `diffusion`, `clip` and others name the files and classes that
they need.
"""
