"""The Python API: what `import pairaug` offers, for notebooks and scripts.

`generator` generates and edits images, `scorer` scores pairs, `reports` rewrites reports and reads
findings, `rules` prunes a table, `runs` starts and opens runs; `images` takes images in and gives
them back. No module here imports a tensor library before a model is loaded.
"""
