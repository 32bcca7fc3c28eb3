"""Formats of tables, one a file: delimited text, JSON lines, Parquet.

A format gives columns of cells, and gives them no meaning.
Start with base.py.
"""
