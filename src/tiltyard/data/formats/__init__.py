"""Formats of tables, one per module: delimited text, JSON lines, Parquet.

A format returns typed columns; it does not depend on what they are used for.
Start with base.py.
"""
