"""The running process and its machine: environment variables, child processes, threads, task locks, progress, imports.

Nothing here knows about data or models.
Start with processes.py and task_lock.py.
"""
