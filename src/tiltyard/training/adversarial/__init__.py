"""Training of generative adversarial networks: alternating steps, choice of the epoch, collapse and divergence.

The networks themselves are families in modeling/models.
Start with fit.py.
"""
