"""Monitoring what was served: records of traffic, drift, quality once the truth is known.

Nothing here answers requests.
Start with monitor.py.
"""
