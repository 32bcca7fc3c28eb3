"""Task files: their schema, defaults and limits, and how they are read, edited and drafted.

Only draft/ reads data.
Start with task.py and loader.py.
"""
