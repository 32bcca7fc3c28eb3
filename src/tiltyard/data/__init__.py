"""Where data comes from and how it is read: sources, formats, tables, images, and versions kept with DVC.

Nothing here knows a task file or a model.
Start with fetch.py.
"""
