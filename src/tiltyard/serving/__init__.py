"""Model serving: the REST service, command line predictions, traffic recording, and packaging as Bentos.

Nothing here trains or evaluates models.
Start with serve.py and http/app.py.
"""
