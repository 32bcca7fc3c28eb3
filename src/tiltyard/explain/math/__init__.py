"""Mathematics of explanations: gradients, Shapley values, masking, activation maximization, SVCCA.

Nothing here depends on the project folder.
Start with gradients.py.
"""
