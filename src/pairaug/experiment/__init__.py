"""Experiments: programs that run others and answer one question, with intervals.

`utility` asks the paper's: does training on real and kept pairs beat training on real ones alone,
at the same number of steps? `pruning` asks when pruning helps.
"""
