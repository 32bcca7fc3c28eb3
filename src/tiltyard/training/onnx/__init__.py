"""Export of a trained network to ONNX in a canonical form, in which equal models are equal files.

Nothing here runs in the service.
Start with export.py.
"""
