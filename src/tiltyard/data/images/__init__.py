"""Pictures and their labels, in folders and ZIP archives.

Nothing here decodes what the service is sent.
Start with files.py.
"""
