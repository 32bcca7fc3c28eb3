"""The Python interface for notebooks and scripts: `import tiltyard as ty`, then `ty.open()` or `ty.Client()`.

It calls the functions behind the commands and converts to and from pandas; nothing is computed here.
Start with project.py.
"""
