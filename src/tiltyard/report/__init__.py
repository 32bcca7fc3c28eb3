"""HTML report of a project: static pages, each a single file that needs no network.

No metric is computed here.
Start with report.py.
"""
