"""How generative families are trained and exported; each plug-in has the name of its family in modeling/models.

Settings and layers of a family are there.
Start with base.py.
"""
