"""Problems, one a file: what is learned, and how an output becomes an answer.

A problem knows no model, and measures nothing: that is for evaluators.
Start with base.py.
"""
