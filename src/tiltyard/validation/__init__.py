"""Data validation: expectations by Great Expectations, and the findings of `tiltyard check`.

This package never changes data.
Start with validate.py and check.py.
"""
