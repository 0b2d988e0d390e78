"""Image-text contrastive models: encoders with their transforms, similarities, and the loss.

Nothing is imported here, so that `folder`, `geometry`, `window` and `similarity` cost no
tensor library.
"""
