"""The registry: champions, the ledger of decisions, signatures, aliases, verification.

Nothing here judges a model.
Start with registry.py and ledger.py.
"""
