"""Care of a project's state: removal of what is no longer needed, backup and restore.

Nothing here judges, trains or serves.
Start with retention.py and backup.py.
"""
