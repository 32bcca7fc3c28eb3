"""Checks of the gate, one a file: champion, baseline, slices, drift, latency, fairness, ...

A check gives an outcome, and decides nothing alone.
Start with base.py.
"""
