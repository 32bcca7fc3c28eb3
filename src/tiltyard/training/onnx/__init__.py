"""Export of a trained network to ONNX, in a form that does not depend on names or order.

Nothing here runs in the service.
Start with export.py.
"""
