"""Projects of their own: the files that a new one starts with, and copies of files that the package brings along.

What a project does with them does not belong here: tasks are in config, stages in the packages of their names.
Start with new.py.
"""
