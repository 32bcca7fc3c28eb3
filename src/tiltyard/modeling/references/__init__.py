"""References: models of scikit-learn that a user could have picked, fitted to the rows and features of the network.

The gate compares every network with them; a task of the family `reference` serves one. Nothing here trains networks.
Start with base.py, then linear.py.
"""
