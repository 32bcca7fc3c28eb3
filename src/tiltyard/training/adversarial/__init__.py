"""Training of generative adversarial networks: alternating steps, choice of the epoch, collapse and divergence.

The networks themselves are in samplers/gan.py.
Start with fit.py.
"""
