"""Problems, one a file: what is learned, how an output becomes an answer, and which metrics apply.

A problem knows no columns and no model.
Start with base.py.
"""
