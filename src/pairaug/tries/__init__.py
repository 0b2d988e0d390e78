"""Several films drawn for one report, and which of them goes on.

Shared by the stages that draw: new patients' films and edits are tried again in the same way.
"""
