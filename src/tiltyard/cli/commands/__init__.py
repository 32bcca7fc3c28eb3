"""Commands, a file for each group in `tiltyard --help`.

A command reads its arguments, calls one function of another package and prints the result.
Start with pipeline.py.
"""
