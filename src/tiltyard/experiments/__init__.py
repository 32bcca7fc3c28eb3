"""Experiments on validation rows: hyperparameter search, studies over seeds, learning rate range test.

Nothing here reads test rows or changes a champion.
Start with search.py and study.py.
"""
