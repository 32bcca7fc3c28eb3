"""Training of generative adversarial networks: alternating steps, choice of the epoch, collapse and divergence.

Start with fit.py.
"""
