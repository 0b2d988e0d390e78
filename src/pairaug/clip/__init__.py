"""Image-text contrastive models: encoders with their transforms, similarities, and the loss.

Nothing is imported here, so that `folder`, `window` and `similarity` cost no tensor library.
"""
