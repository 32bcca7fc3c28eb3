"""Explanation methods, one in each file: SHAP, LIME, Grad-CAM, permutation importance, ...

A method returns figures and writes no page.
Start with base.py.
"""
