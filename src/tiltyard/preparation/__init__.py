"""Preparation of data: splits, sealed test rows, encoded features.

Nothing here imports Keras.
Start with prepare.py.
"""
