"""Traffic: shadow and canary splits between versions, recorded predictions, feedback and rate limits.

Nothing here parses a request.
Start with traffic_split.py.
"""
