"""Training on pairs: the CLIP scorer, the latent diffusion generator and the findings classifier.

Each trainer is a command, and its module holds its settings. The shared loop is in `loop.py`, the
images and reports in `image_dataset.py` and `clip/pairs.py`.
"""
