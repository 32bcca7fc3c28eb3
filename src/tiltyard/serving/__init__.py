"""Serving champions: the REST service, its models, limits, records of traffic, and packages as Bentos.

Nothing here trains or judges.
Start with serve.py and http/app.py.
"""
