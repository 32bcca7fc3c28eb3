"""What every plug-in must fulfil, as assertions: for the tests of this repository and, by a pytest plug-in, of others.

`pytest --tiltyard-contracts` tests the plug-ins that other packages add by entry points. No other part imports this.
Start with plugin.py, then suite.py.
"""
