"""Machine learning models: columns (features), problems (targets), model families, inference, metrics and evaluators.

Nothing here depends on task files, a project folder or the service.
Start with problems/base.py and inference/encoder.py.
"""
