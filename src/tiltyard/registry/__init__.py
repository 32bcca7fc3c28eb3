"""Champions and the record of decisions: ledger, pointer, signatures, aliases, verification.

Nothing here judges a model.
Start with registry.py and ledger.py.
"""
