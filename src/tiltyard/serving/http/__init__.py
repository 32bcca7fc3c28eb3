"""The HTTP service: routes, limits, admission, the fast path, metrics, health.

Nothing here loads files but through model/ and startup.py.
Start with app.py and routing.py.
"""
