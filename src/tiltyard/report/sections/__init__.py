"""Sections of the report on a task, one module each.

What several of them render is in report/html_elements.py. No section computes metrics.
Start with verdict.py.
"""
