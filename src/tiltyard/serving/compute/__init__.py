"""Processes beside the service, for long work and for formats with native parsers.

Nothing here opens a socket to clients.
Start with pool.py.
"""
