"""`tiltyard init`: draft a task file from the data.

A draft is an ordinary task file, to be edited by the user.
Start with draft.py.
"""
