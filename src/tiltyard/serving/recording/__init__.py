"""Recording: a process beside the service that writes recorded requests and predicts the copies for a shadow.

Nothing here answers a request.
Start with recorder.py.
"""
