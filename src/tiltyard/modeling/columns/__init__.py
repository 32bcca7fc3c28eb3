"""Types of columns, one a file: what values are valid, and how they become numbers.

A column knows no other column and no model.
Start with base.py.
"""
