"""Prefect flows: order, retries, schedules; no arithmetic and no file formats."""
