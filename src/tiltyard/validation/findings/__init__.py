"""Findings of `tiltyard check`, one a file: leaks, duplicates, drift, wrong types, ...

A finding reports, and stops nothing.
Start with base.py.
"""
