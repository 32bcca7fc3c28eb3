"""Types of column: one file a type, each with a class named after it that parses, fits and encodes."""
