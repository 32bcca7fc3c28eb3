"""Metrics and what is computed from them: scores, curves, bootstrap intervals, distances between samples.

Metrics get arrays, and know neither models nor files.
Start with scores.py.
"""
