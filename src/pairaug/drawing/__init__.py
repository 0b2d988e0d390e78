"""What the stages that draw images share: the generator, several tries, and which of them goes on.

New patients' images and edits differ in how they are drawn, and in nothing that is here.
"""
