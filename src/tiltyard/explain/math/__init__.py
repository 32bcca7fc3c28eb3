"""Mathematics of explanations: gradients, Shapley values, masks, maximisation of activations.

Nothing here knows a project folder.
Start with gradients.py.
"""
