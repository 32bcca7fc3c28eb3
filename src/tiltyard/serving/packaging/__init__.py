"""Packaging: write a model with its card, golden rows and schema, build a Bento of it, and smoke-test the Bento.

Nothing here runs in the service.
Start with package.py.
"""
