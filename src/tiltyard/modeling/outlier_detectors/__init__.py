"""Outlier detectors: models that are fitted to normal rows, with which a network that finds anomalies is compared.

The gate compares the network with each of them; none is served, and nothing here trains networks.
Start with base.py, then pca.py.
"""
