"""The Open Inference Protocol over gRPC: calls are passed to the app as V2 requests, so their limits are the same.

Nothing here predicts, and nothing is imported unless `tiltyard serve --grpc PORT` enables it.
Start with server.py.
"""
