"""A packaged model, loaded and ready to answer: tensors, compiled requests, golden rows.

Nothing here knows HTTP.
Start with loaded_model.py.
"""
