"""Training: networks, batches, callbacks, checkpoints, cross-validation, and export to ONNX.

Nothing here reads test rows.
Start with train.py, then fit.py.
"""
