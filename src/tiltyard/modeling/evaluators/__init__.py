"""Evaluators, one for each problem: its metrics, its baseline, and what a report shows of predictions.

Neither preparation, training nor the service imports them.
Start with base.py.
"""
