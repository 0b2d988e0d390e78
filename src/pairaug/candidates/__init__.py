"""What the stages that generate images share: the generator, several candidates, and which of them goes on.

New patients' images and edits differ in how they are generated, and in nothing that is here.
"""
