"""Data sources, one per module: a file, a folder of images, a SQL query, a generated series, ...

A source writes raw files; validation checks them later.
Start with base.py.
"""
