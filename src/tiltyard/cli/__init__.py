"""The command line: `tiltyard VERB`.

Nothing here holds logic, and nothing imports it; heavy imports happen inside the verb that needs them.
Start with main.py.
"""
