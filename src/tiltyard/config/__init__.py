"""The task file: its sections, their defaults and limits, how it is read, edited and drafted.

Nothing here reads data, apart from draft/, which looks at a sample.
Start with task.py and loader.py.
"""
