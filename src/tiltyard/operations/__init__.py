"""Operations: `tiltyard watch`, which retrains, tries, promotes and rolls back by the rules of a task, and notifies.

Nothing here trains, judges or serves: it calls what does.
Start with watcher.py, and with decide.py for the rules.
"""
