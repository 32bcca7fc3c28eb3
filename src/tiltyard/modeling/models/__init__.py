"""Model families, one in each file: settings of the `model:` section of a task file, and the layers that they build.

A family does not train and reads no data.
Start with base.py, then mlp.py.
"""
