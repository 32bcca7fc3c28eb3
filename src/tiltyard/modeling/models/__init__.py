"""Model families, one a file: the layers that are built from the model section of a task file.

A family trains nothing and reads no data.
Start with base.py, then mlp.py.
"""
