"""Loaded models: inference with a packaged model, tensor metadata, compiled requests, golden rows.

Nothing here depends on HTTP.
Start with loaded_model.py.
"""
