"""Checks of the gate, one a file: champion, baseline, slices, drift, latency, fairness, ...

A check returns an outcome; judge.py decides the verdict.
Start with base.py.
"""
