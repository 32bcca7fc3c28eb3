"""`tiltyard init`: a task file drafted from a look at the data.

Nothing here trains, and nothing outside reads a draft.
Start with draft.py.
"""
