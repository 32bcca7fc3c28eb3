"""Problems, one in each file: targets, output layers and losses, and conversion of outputs to predictions.

A problem does not depend on models, and computes no metrics: evaluators do.
Start with base.py.
"""
