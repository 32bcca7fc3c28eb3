"""Types of columns, one in each file: validation of values, and encoding as features.

A column does not depend on other columns or on models.
Start with base.py.
"""
