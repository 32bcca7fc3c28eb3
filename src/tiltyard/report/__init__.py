"""The report: HTML pages of a project, each a single file that needs no network.

Nothing here computes a metric.
Start with report.py.
"""
