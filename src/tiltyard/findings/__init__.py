"""What to look for in data: one file a finding, each with a class named after it that speaks or is silent."""
