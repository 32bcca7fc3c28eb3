"""Compute processes: long requests, and formats that are read by native parsers, run outside the event loop.

Nothing here opens a socket to clients.
Start with pool.py.
"""
