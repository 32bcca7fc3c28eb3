"""Forms of raw data: one file a form, each with a class named after it that reads facts and rows."""
