"""Kinds of problem: one file a problem, each with a class named after it that scores and answers."""
