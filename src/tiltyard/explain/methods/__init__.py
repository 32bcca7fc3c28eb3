"""Explanation methods, one in each file: SHAP, LIME, Grad-CAM, permutation importance, ...

A method returns figures as data and draws nothing.
Start with base.py.
"""
