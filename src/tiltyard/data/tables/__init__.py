"""Reading tables: dialects of CSV, text encodings, archives, and the types of columns.

Nothing here knows what a column is used for.
Start with dialect.py.
"""
