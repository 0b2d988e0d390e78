"""What the stages that draw films share: the generator, several tries, and which of them goes on.

New patients' films and edits differ in how they are drawn, and in nothing that is here.
"""
