"""Traffic: shadow and canary splits between versions, log files, feedback and rate limits.

Nothing here parses a request.
Start with traffic_split.py.
"""
