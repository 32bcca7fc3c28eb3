"""Metrics: scores, curves, bootstrap intervals, and distances between samples.

Functions take arrays and do not depend on models or files.
Start with scores.py.
"""
