"""Machine learning models: columns (features), problems (targets), model families, inference, metrics and evaluators.

Nothing here knows a task file, a project folder or the service.
Start with problems/base.py and inference/encoder.py.
"""
