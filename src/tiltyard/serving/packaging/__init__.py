"""Packages: a champion with its card, golden rows and schema, built as a Bento and tried.

Nothing here runs in the service.
Start with package.py.
"""
