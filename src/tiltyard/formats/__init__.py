"""Formats of tables: one file a format, each with a class named after it that surveys a file and reads it."""
