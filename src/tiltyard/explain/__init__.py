"""Explanations of trained models: of single predictions and of the model as a whole.

Nothing here trains a model, except svcca_epochs; the service imports Shapley values only.
Start with explain.py.
"""
