"""Training on pairs: the CLIP scorer, the latent diffusion generator and the findings classifier.

Each trainer is a command, and its module holds its settings. The loop they share is in `loop.py`,
the images and reports they learn from in `images.py`.
"""
