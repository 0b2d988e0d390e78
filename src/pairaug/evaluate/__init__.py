"""Evaluation of models and of generated images; each program writes a table and a JSON file."""
