"""Prefect flows of the pipeline: order of steps, retries, schedules and progress. They compute nothing themselves."""
