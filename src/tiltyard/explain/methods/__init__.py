"""Methods of explanation, one a file: SHAP, LIME, Grad-CAM, permutation importance, ...

A method gives figures, and writes no page.
Start with base.py.
"""
