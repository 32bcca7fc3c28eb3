"""What commands print: tables and sentences for a terminal.

Nothing here computes.
Start with tables.py.
"""
