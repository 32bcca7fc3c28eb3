"""Sources of data, one a file: a file, a folder of images, a SQL query, a generated series, ...

A source writes files below data/raw and judges nothing.
Start with base.py.
"""
