"""What a challenger must pass: one file a check, each with a class named after it that objects or is silent."""
