"""The HTTP service: routes, request bodies, limits, admission control, the fast path, metrics, health checks.

Nothing here loads models except through model/ and startup.py.
Start with app.py and routing.py.
"""
