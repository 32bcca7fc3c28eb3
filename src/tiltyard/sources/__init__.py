"""Where raw data comes from: one file a source, each with a class named after it that can `fetch`."""
