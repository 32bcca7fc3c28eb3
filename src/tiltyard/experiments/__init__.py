"""Experiments: searches, studies and the learning rate range test, on validation rows only.

Nothing here sees test rows or changes a champion.
Start with search.py and study.py.
"""
