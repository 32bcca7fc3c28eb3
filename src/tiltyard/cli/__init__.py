"""The command line interface: `tiltyard COMMAND`.

It holds no logic, and no other package imports it. Commands import heavy libraries when they run.
Start with main.py.
"""
