"""Evaluators, one for each problem: metrics, baseline, and the tables and plots of a report.

Neither preparation, training nor the service imports them.
Start with base.py.
"""
