"""The promotion gate: checks of a challenger against the champion, the verdict, and the promotion.

Nothing here trains or serves.
Start with judge.py and promote.py.
"""
