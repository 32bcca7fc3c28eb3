"""Metrics of a trained model on the test part, by slices, under perturbation, and beside a simple model.

Nothing here decides; that is the gate.
Start with evaluate.py.
"""
