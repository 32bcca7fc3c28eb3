"""Distances between samples by which training chooses and evaluation measures.

A change retrains; distances that only evaluation uses are in metrics.
Start with frechet_distance.py.
"""
