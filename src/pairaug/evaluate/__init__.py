"""Evaluation of models and of what they make: each program writes a table and JSON beside it."""
