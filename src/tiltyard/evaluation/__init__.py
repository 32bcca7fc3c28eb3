"""Evaluation: metrics of a trained model on the sealed test rows, by slice, and of the reference.

Nothing here decides about promotion: the gate does.
Start with evaluate.py.
"""
