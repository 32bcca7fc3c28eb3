"""How generative families are trained and exported; each plug-in has the name of its family in modeling/models.

Networks do not belong here: they are in modeling/models.
Start with base.py.
"""
