"""What the service does with requests beside answering: which version answers, and what is recorded.

Nothing here parses a request.
Start with traffic_split.py.
"""
