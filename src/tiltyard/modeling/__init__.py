"""What a model reads, answers, is and is scored by: columns, problems, models, inference, metrics and evaluators.

Nothing here knows a task file, a project folder or the service.
Start with problems/base.py and inference/encoder.py.
"""
