"""Output of commands on the terminal: tables and messages.

Nothing is computed here.
Start with tables.py.
"""
