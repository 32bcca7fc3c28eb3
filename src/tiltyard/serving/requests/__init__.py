"""Prediction requests: parsing bodies of JSON, tables or tensors, and encoding response bodies, without HTTP.

Nothing here waits for a client; the service and its compute processes run the same code.
Start with predict_request.py.
"""
