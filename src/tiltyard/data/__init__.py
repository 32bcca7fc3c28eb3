"""Data sources and readers: sources, file formats, tables, images, and data versions kept with DVC.

This package imports neither task files nor models.
Start with fetch.py.
"""
