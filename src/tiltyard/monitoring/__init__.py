"""Monitoring of served models: traffic records, drift, quality by ground truth, rollouts.

Nothing here serves requests.
Start with monitor.py.
"""
