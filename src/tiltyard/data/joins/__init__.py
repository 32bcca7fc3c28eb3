"""Joins: rows of a main table with columns of others, by key or by the latest time that is not later.

The result is read like any table; where files come from is in `data/sources`.
Start with joined_table.py; rule.py holds the settings.
"""
