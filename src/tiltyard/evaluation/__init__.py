"""Evaluation: metrics of a trained model on the sealed test rows, by slice, under perturbation, and of a simple model.

Nothing here decides about promotion: the gate does.
Start with evaluate.py.
"""
