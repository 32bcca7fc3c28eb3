"""Parsing of tables: CSV dialects, text encodings, archives, and column types.

This package does not depend on what a column is used for.
Start with dialect.py.
"""
