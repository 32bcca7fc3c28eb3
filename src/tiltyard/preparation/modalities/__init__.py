"""Modalities, one in each file: table, image, text, mixed, prose, series. They read raw files and return rows.

A modality does not depend on models.
Start with base.py.
"""
