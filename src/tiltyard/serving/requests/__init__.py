"""Requests for predictions: bodies as JSON, tables or tensors, and the answers, without HTTP.

Nothing here waits for a client; the service and the processes beside it run the same code.
Start with predict.py.
"""
