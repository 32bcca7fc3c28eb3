"""Modalities, one a file: table, image, text, prose, series; how raw files become rows.

A modality knows no model.
Start with base.py.
"""
