"""Explanations of models: of a single answer and of the whole, and the mathematics behind them.

Nothing here trains, and the service imports only what it answers with.
Start with explain.py.
"""
