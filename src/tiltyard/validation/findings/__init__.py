"""Findings of `tiltyard check`, one per module: leaks, duplicates, drift, wrong types, ...

A finding only reports; it does not stop the pipeline.
Start with base.py.
"""
