"""Checking data before it is used: expectations of Great Expectations, and findings of `tiltyard check`.

Nothing here changes data.
Start with validate.py and check.py.
"""
